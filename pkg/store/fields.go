package store

import (
	"fmt"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The fields that every kind can be selected by.
const (
	nameField      = "metadata.name"
	namespaceField = "metadata.namespace"
)

// selection is what a list's selectors ask of an object. A nil selector asks
// for nothing.
type selection struct {
	kind   *kindInfo
	labels labels.Selector
	fields fields.Selector
	own    bool // the kind's own fields matter
}

func newSelection(k *kindInfo, o ListOptions) (selection, error) {
	s := selection{kind: k}
	if o.Selector != nil && !o.Selector.Empty() {
		s.labels = o.Selector
	}
	if o.Fields == nil || o.Fields.Empty() {
		return s, nil
	}
	s.fields = o.Fields
	known := k.storage().fieldsOf(k.storage().newObject())
	for _, r := range o.Fields.Requirements() {
		if r.Field == nameField || r.Field == namespaceField {
			continue
		}
		if s.own = true; !known.Has(r.Field) {
			return s, fmt.Errorf("field %q: kind %s cannot be selected by it", r.Field, k.gvk.Kind)
		}
	}
	return s, nil
}

// Selects returns a function that says whether a list with these options would
// have an object of a kind, for those who have objects from elsewhere. Only the
// namespace and the selectors count. The function may be called concurrently; it
// fails where an object cannot be converted to the version that is stored. A kind
// that is not known, or does not have a field, is an error.
func (s *Store) Selects(gvk schema.GroupVersionKind, o ListOptions) (func(obj Object) (bool, error), error) {
	k := s.kinds.byGVK[gvk]
	if k == nil {
		return nil, fmt.Errorf("select: kind %s is not known to this store", gvk)
	}
	selection, err := newSelection(k, o)
	if err != nil {
		return nil, fmt.Errorf("select: %w", err)
	}
	return func(obj Object) (bool, error) {
		if o.Namespace != "" && obj.GetNamespace() != o.Namespace {
			return false, nil
		}
		return selection.matches(obj)
	}, nil
}

// all reports whether every object matches.
func (s selection) all() bool { return s.labels == nil && s.fields == nil }

func (s selection) matches(obj Object) (bool, error) {
	if s.labels != nil && !s.labels.Matches(labels.Set(obj.GetLabels())) {
		return false, nil
	}
	if s.fields == nil {
		return true, nil
	}
	f := objectFields{obj: obj}
	if s.own {
		asStored, err := convert(obj, s.kind, s.kind.storage())
		if err != nil {
			return false, err
		}
		f.own = s.kind.storage().fieldsOf(asStored)
	}
	return s.fields.Matches(f), nil
}

// fieldsOf returns the fields that the kind's hook tells of an object.
func (k *kindInfo) fieldsOf(obj Object) fields.Set {
	if k.fields == nil {
		return nil
	}
	return k.fields(obj)
}

// objectFields has a selector look at an object.
type objectFields struct {
	obj Object
	own fields.Set
}

func (f objectFields) Has(field string) bool {
	return field == nameField || field == namespaceField || f.own.Has(field)
}

func (f objectFields) Get(field string) string {
	switch field {
	case nameField:
		return f.obj.GetName()
	case namespaceField:
		return f.obj.GetNamespace()
	}
	return f.own.Get(field)
}
