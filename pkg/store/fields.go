package store

import (
	"fmt"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
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
