package informer

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/store"
)

// Operation is what a change did to an object in etcd. It does not depend on
// filters: an object that enters a filter by an update arrives as Added, and the
// operation is Update.
type Operation string

const (
	Create Operation = "create"
	Update Operation = "update"
	Delete Operation = "delete"
)

// Operations holds for changes by one of the operations. An object that was
// deleted and created again counts as a Delete and a Create.
func Operations[T store.Object](ops ...Operation) Filter[T] {
	ops = slices.Clone(ops)
	return aboutChange(func(e *evaluation[T]) (bool, error) {
		return slices.Contains(ops, e.change.operation()), nil
	})
}

func (c change) operation() Operation {
	switch {
	case c.old == nil:
		return Create
	case c.new == nil:
		return Delete
	}
	return Update
}

// LabelSelector holds for objects with labels that match. A nil selector matches all.
func LabelSelector[T store.Object](selector labels.Selector) Filter[T] {
	if selector == nil {
		return Filter[T]{}
	}
	return Where(func(obj T) bool { return selector.Matches(labels.Set(obj.GetLabels())) })
}

// FieldSelector holds for objects of the informer's kind with fields that match.
// The fields are those of [store.ListOptions]: metadata.name, metadata.namespace and
// those that [store.Kind] adds. A nil selector matches all. It returns an error if
// the kind lacks a field of the selector.
func FieldSelector[T store.Object](i *Informer[T], selector fields.Selector) (Filter[T], error) {
	selects, err := i.replica.store.Selects(i.kind.info.GroupVersionKind, store.ListOptions{Fields: selector})
	if err != nil {
		return Filter[T]{}, fmt.Errorf("informer: %w", err)
	}
	return aboutObject(func(obj T) (bool, error) { return selects(obj) }), nil
}

// Where holds for objects for which f returns true.
func Where[T store.Object](f func(obj T) bool) Filter[T] {
	return aboutObject(func(obj T) (bool, error) { return f(obj), nil })
}

// Transition holds for changes for which f returns true. f gets the zero value of
// T where there is no object: as old for a creation, as new for a deletion.
func Transition[T store.Object](f func(old, new T) bool) Filter[T] {
	return aboutChange(func(e *evaluation[T]) (bool, error) { return f(e.old, e.new), nil })
}

// Leaf makes a filter of functions that can fail, such as a condition that
// a user wrote. [Filter] says what a failure means. For functions that cannot
// fail, use [Where] and [Transition].
type Leaf[T store.Object] struct {
	// Object reports whether the filter holds for an object; see [Where].
	// Defaults to all objects.
	Object func(obj T) (bool, error)
	// Change reports whether the filter holds for a change; see [Transition].
	// Defaults to all changes.
	Change func(old, new T) (bool, error)
}

// Filter returns a filter that holds where all functions of the leaf do.
func (l Leaf[T]) Filter() Filter[T] {
	var f []Filter[T]
	if l.Object != nil {
		f = append(f, aboutObject(l.Object))
	}
	if l.Change != nil {
		change := l.Change
		f = append(f, aboutChange(func(e *evaluation[T]) (bool, error) { return change(e.old, e.new) }))
	}
	return And(f...)
}
