package controller

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Filtered has a source told only of what passes all filters, and as they see it:
// an object that comes to pass is Added, one that ceases to is Deleted. The source
// is one of changes of objects of the kind T, such as [For], [Owns] or [Watches].
//
// A filter drops a change as the replica takes it in, so that it costs neither
// memory nor a call, and so is for what is most of what happens; a [Predicate] is
// asked afterwards.
func Filtered[T store.Object, R comparable](s Source[R], filters ...informer.Filter[T]) Source[R] {
	return s.with(reflect.TypeFor[T](), "filters", func(b *binding[R]) {
		earlier, _ := b.filters.([]informer.Filter[T])
		b.filters = append(slices.Clone(earlier), filters...)
	})
}

// Batched has a source of changes of objects told of them in batches: when no
// change has come for as long as the window's Quiet, or the first of them has
// waited for its Max. Changes of one object are joined. Keys that change in bursts
// are then reconciled once a burst, not once at its beginning and again at its
// end.
func Batched[R comparable](window informer.Debounce, s Source[R]) Source[R] {
	return s.with(nil, "a window", func(b *binding[R]) { b.window = &window })
}

// with returns the source with something else in its binding. kind is the type
// that it must watch, or nil for any.
func (s Source[R]) with(kind reflect.Type, what string, change func(*binding[R])) Source[R] {
	inner := s
	s.bind = func(b *binding[R]) (starter[R], error) {
		switch {
		case inner.bind == nil:
			return nil, errEmptySource
		case inner.watched == nil:
			return nil, fmt.Errorf("%s for a source that watches no objects", what)
		case kind != nil && kind != inner.watched:
			return nil, fmt.Errorf("%s for %s, and a source that watches %s", what, kind, inner.watched)
		}
		changed := *b
		change(&changed)
		return inner.bind(&changed)
	}
	return s
}
