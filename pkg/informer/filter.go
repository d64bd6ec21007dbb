package informer

import (
	"slices"

	"github.com/homeostat/homeostat/pkg/store"
)

// Filter selects the changes that a handler gets. It is a boolean expression with
// two sorts of leaves:
//
//   - Leaves about objects: [KeyGlob], [KeyRegexp], [LabelSelector],
//     [FieldSelector] and [Where]. They are evaluated for the object before the
//     change and for the object after it.
//   - Leaves about changes: [Operations], [Transition], [GenerationChanged],
//     [LabelsChanged], [AnnotationsChanged] and [FieldChanged]. They are evaluated
//     once, and the result holds for both objects.
//
// Package condition makes leaves of both sorts from expressions in CEL, and [Leaf]
// from functions that can fail. [And], [Or] and [Not] combine filters. The zero
// value passes every change.
//
// A change arrives as Modified if the expression holds before and after it. An
// object for which it holds only after the change has entered the filter, and
// arrives as Added. One for which it holds only before the change has left the
// filter, and arrives as Deleted, with the last object that matched. Other changes
// are dropped. A handler whose filter has only leaves about objects therefore
// knows, at any time, exactly the objects that match. With a leaf about changes
// this does not hold: if it drops the change by which an object leaves the filter,
// the handler does not learn that it left.
//
// The objects that a handler gets first count as created, and so do objects that
// a relist finds new. If a name was deleted and created again, the filter evaluates
// the deletion and the creation separately. After a relist it evaluates the net
// change of each object.
//
// The replica evaluates filters when it applies a change. A dropped change
// therefore costs neither memory nor a call. The initial objects are filtered just
// before they are delivered. So the functions of a filter run in the replica's own
// goroutine and in the handler's. They must be fast and pure, must not block or
// wait for the replica, and must not change the objects. If a function panics or
// fails, the replica logs that, and the whole filter holds for the object or change
// in question: an extra event does no harm, a missing one does.
//
// A Filter is safe for concurrent use, by any number of handlers.
type Filter[T store.Object] struct {
	eval func(e *evaluation[T], care sides) sides // nil: holds
}

// sides is a set of the two states of an object that a change lies between.
// Operators evaluate both at once. A side without an object is never included.
type sides uint8

const (
	before sides = 1 << iota
	after
)

// evaluation is the evaluation of a filter for one change.
type evaluation[T store.Object] struct {
	change   change
	key      store.Key
	old, new T

	failed sides // for which a leaf failed
	err    error // of the last leaf that failed
}

// holds returns the sides in care for which the filter holds.
func (f Filter[T]) holds(e *evaluation[T], care sides) sides {
	if f.eval == nil || care == 0 {
		return care
	}
	return f.eval(e, care)
}

// And holds where all filters hold. It evaluates them in their order, and stops
// when the result is clear. Without filters, it passes every change.
func And[T store.Object](filters ...Filter[T]) Filter[T] {
	filters = slices.Clone(filters)
	return Filter[T]{func(e *evaluation[T], care sides) sides {
		for _, f := range filters {
			care = f.holds(e, care)
		}
		return care
	}}
}

// Or holds where at least one filter holds. It evaluates them in their order, and
// stops when the result is clear. Without filters, it passes no change.
func Or[T store.Object](filters ...Filter[T]) Filter[T] {
	filters = slices.Clone(filters)
	return Filter[T]{func(e *evaluation[T], care sides) (in sides) {
		for _, f := range filters {
			in |= f.holds(e, care&^in)
		}
		return in
	}}
}

// Not holds where the filter does not hold.
func Not[T store.Object](f Filter[T]) Filter[T] {
	return Filter[T]{func(e *evaluation[T], care sides) sides {
		return care &^ f.holds(e, care)
	}}
}

// apply returns the change with only the objects for which the filter holds. The
// error is that of a leaf that failed.
func (f Filter[T]) apply(c change) (change, error) {
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

// try calls a leaf's function for some sides. If the function fails or panics, the
// sides are noted as failed, so that the filter holds for them.
func (e *evaluation[T]) try(of sides, f func() (bool, error)) (in sides) {
	defer func() {
		if p := recover(); p != nil {
			e.failed, e.err = e.failed|of, &panicError{"filter", p}
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

// aboutObject returns a leaf that is evaluated for each side separately.
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

// aboutChange returns a leaf that is evaluated once, for both sides.
func aboutChange[T store.Object](f func(e *evaluation[T]) (bool, error)) Filter[T] {
	return Filter[T]{func(e *evaluation[T], care sides) sides {
		return e.try(care, func() (bool, error) { return f(e) })
	}}
}
