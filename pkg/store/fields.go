package store

import (
	"fmt"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Every kind has these fields.
const (
	nameField      = "metadata.name"
	namespaceField = "metadata.namespace"
)

// selection has the selectors of a list. A nil selector matches all objects.
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
			return s, fmt.Errorf("field %q: kind %s cannot be selected by this field", r.Field, k.gvk.Kind)
		}
	}
	return s, nil
}

// Selects returns a function that reports whether a list with options o would
// contain an object of a kind. Use it to apply a list's namespace and selectors
// to objects from elsewhere; it ignores the other options. Selects returns an error
// for an unknown kind or field. The returned function may be called concurrently,
// and returns an error if an object cannot be converted to the stored version.
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

// all reports whether the selectors match every object.
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

// fieldsOf returns an object's fields from the kind's hook.
func (k *kindInfo) fieldsOf(obj Object) fields.Set {
	if k.fields == nil {
		return nil
	}
	return k.fields(obj)
}

// objectFields presents an object to a field selector.
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
