package informer

import (
	"fmt"
	"slices"

	"github.com/homeostat/homeostat/pkg/store"
)

// Filter decides what a handler is told. It is a boolean expression whose leaves
// are of two sorts:
//
//   - those about an object: [KeyGlob], [KeyRegexp], [LabelSelector],
//     [FieldSelector] and [Where]. They are asked about the object before the
//     change and about the one after it.
//   - those about a change: [Operations], [Transition], [GenerationChanged],
//     [LabelsChanged], [AnnotationsChanged] and [FieldChanged]. They are asked
//     once, and what they say holds for both.
//
// Package condition makes leaves of both sorts from expressions in CEL, and [Leaf]
// from functions that can fail. [And], [Or] and [Not] make one of several. The zero value lets everything pass.
//
// Where the expression holds before and after a change, that is told as
// Modified. An object for which it holds only after the change has entered the
// filter and is told as Added; one for which it held only before has left, and
// is told as Deleted, with the last object for which it held. The rest is not
// told. A filter whose leaves are all about objects thus shows a handler, at any
// time, exactly the objects that it holds for. One with a leaf about changes
// shows it the changes, and nobody is told of an object that leaves it by
// a change that it drops.
//
// What a handler is told first counts as the creation of each object, and so does
// what a list finds new. A change that joins the deletion of an object and the
// creation of another of the same name is judged as the two that it is. What
// only a list shows is judged by its net result.
//
// Changes are filtered as the replica takes them in, so that what is dropped
// costs neither memory nor a call; what is there at first is filtered just before
// it is told. The functions of a filter therefore run in the replica's own
// goroutine, and beside that in the handler's. They must be fast, must not block
// or wait for the replica, must not change the objects, and must depend on their
// arguments alone. One that panics or fails is logged, and for the object or the
// change that it was asked about the whole filter then holds: a change too many
// does no harm, one too few does.
//
// A Filter is safe for concurrent use and may serve any number of handlers.
type Filter[T store.Object] struct {
	eval func(e *evaluation[T], care sides) sides // nil: holds
}

// sides is a set of the two states that a change lies between. Operators work on
// both at once; a side where there is no object is never cared about.
type sides uint8

const (
	before sides = 1 << iota
	after
)

// evaluation is a filter being asked about one change.
type evaluation[T store.Object] struct {
	change   change
	key      store.Key
	old, new T

	failed sides // where a leaf could not tell
	err    error // why
}

// holds returns for which of the sides that matter the filter holds.
func (f Filter[T]) holds(e *evaluation[T], care sides) sides {
	if f.eval == nil || care == 0 {
		return care
	}
	return f.eval(e, care)
}

// And holds where all filters hold. They are asked in their order, and no longer
// than it takes to decide. Without any, it lets everything pass.
func And[T store.Object](filters ...Filter[T]) Filter[T] {
	filters = slices.Clone(filters)
	return Filter[T]{func(e *evaluation[T], care sides) sides {
		for _, f := range filters {
			care = f.holds(e, care)
		}
		return care
	}}
}

// Or holds where one of the filters does. They are asked in their order, and no
// longer than it takes to decide. Without any, it lets nothing pass.
func Or[T store.Object](filters ...Filter[T]) Filter[T] {
	filters = slices.Clone(filters)
	return Filter[T]{func(e *evaluation[T], care sides) (in sides) {
		for _, f := range filters {
			in |= f.holds(e, care&^in)
		}
		return in
	}}
}

// Not holds where the filter does not.
func Not[T store.Object](f Filter[T]) Filter[T] {
	return Filter[T]{func(e *evaluation[T], care sides) sides {
		return care &^ f.holds(e, care)
	}}
}

// judge returns what is left of a change: the objects that the filter holds for.
// The error says why a leaf could not tell.
func (f Filter[T]) judge(c change) (change, error) {
	var in sides
	var err error
	for step := range c.steps() {
		e := evaluation[T]{change: step, key: splitKey(step.key)}
		var care sides
		if step.old != nil {
			e.old, care = step.old.obj.(T), before
		}
		if step.new != nil {
			e.new, care = step.new.obj.(T), care|after
		}
		in |= f.holds(&e, care) | e.failed
		if e.err != nil {
			err = e.err
		}
	}
	if in&before == 0 {
		c.old = nil
	}
	if in&after == 0 {
		c.new = nil
	}
	return c, err
}

// try asks a leaf's function about some sides. It holds where it fails or
// panics, whatever is made of that.
func (e *evaluation[T]) try(of sides, f func() (bool, error)) (in sides) {
	defer func() {
		if p := recover(); p != nil {
			e.failed, e.err = e.failed|of, fmt.Errorf("it panicked: %v", p)
			in = of
		}
	}()
	ok, err := f()
	if err != nil {
		e.failed, e.err = e.failed|of, err
	}
	if ok || err != nil {
		in = of
	}
	return in
}

// aboutObject is a leaf that is asked about each side by itself.
func aboutObject[T store.Object](f func(obj T) (bool, error)) Filter[T] {
	return Filter[T]{func(e *evaluation[T], care sides) (in sides) {
		if care&before != 0 {
			in = e.try(before, func() (bool, error) { return f(e.old) })
		}
		if care&after != 0 {
			in |= e.try(after, func() (bool, error) { return f(e.new) })
		}
		return in
	}}
}

// aboutChange is a leaf that is asked once and holds for both sides.
func aboutChange[T store.Object](f func(e *evaluation[T]) (bool, error)) Filter[T] {
	return Filter[T]{func(e *evaluation[T], care sides) sides {
		return e.try(care, func() (bool, error) { return f(e) })
	}}
}
