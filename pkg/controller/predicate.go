package controller

import (
	"maps"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Predicate decides whether a change matters. It must be fast and must not
// change the objects. Objects that were there before the controller started
// come as Added events with Initial set. A Modified event can join several
// changes of one object. A predicate that panics passes the change.
type Predicate[T store.Object] func(e informer.Event[T]) bool

// GenerationChanged passes what changed an object's spec, its creation and its
// deletion, and the mark that it is being deleted; it drops what changed only
// metadata or status. It passes all changes of objects that have no generation,
// which are those of kinds without a spec.
func GenerationChanged[T store.Object]() Predicate[T] {
	return func(e informer.Event[T]) bool {
		return e.Type != store.Modified || e.Object.GetGeneration() == 0 || e.Object.GetGeneration() != e.Old.GetGeneration() ||
			e.Object.GetDeletionTimestamp().IsZero() != e.Old.GetDeletionTimestamp().IsZero()
	}
}

// LabelsChanged passes updates that changed labels, and all creations and
// deletions.
func LabelsChanged[T store.Object]() Predicate[T] {
	return func(e informer.Event[T]) bool {
		return e.Type != store.Modified || !maps.Equal(e.Object.GetLabels(), e.Old.GetLabels())
	}
}

// AnnotationsChanged passes updates that changed annotations, and all creations
// and deletions.
func AnnotationsChanged[T store.Object]() Predicate[T] {
	return func(e informer.Event[T]) bool {
		return e.Type != store.Modified || !maps.Equal(e.Object.GetAnnotations(), e.Old.GetAnnotations())
	}
}

// FieldChanged passes updates after which a function of the object returns
// something else than before, and all creations and deletions.
func FieldChanged[T store.Object, V comparable](field func(obj T) V) Predicate[T] {
	return func(e informer.Event[T]) bool {
		return e.Type != store.Modified || field(e.Object) != field(e.Old)
	}
}

// Condition passes what a function of the object before and after the change says
// yes to. The first is the zero value for an object that was created, the second
// for one that was deleted. A change that it cannot judge passes, and its error is
// logged. The functions of package condition's ForObjects are such.
func Condition[T store.Object](f func(old, new T) (bool, error)) Predicate[T] {
	return func(e informer.Event[T]) bool {
		old, obj := e.Old, e.Object
		if e.Type == store.Deleted {
			old, obj = obj, old
		}
		pass, err := f(old, obj)
		if err != nil {
			panic(err) // passes and is logged, as of any predicate
		}
		return pass
	}
}

// Matching passes changes of objects that match a label selector, or did before
// the change.
func Matching[T store.Object](selector labels.Selector) Predicate[T] {
	return func(e informer.Event[T]) bool {
		return selector.Matches(labels.Set(e.Object.GetLabels())) ||
			e.Type == store.Modified && selector.Matches(labels.Set(e.Old.GetLabels()))
	}
}

// Any passes what at least one of the predicates passes: nothing, when there
// are none.
func Any[T store.Object](predicates ...Predicate[T]) Predicate[T] {
	return func(e informer.Event[T]) bool {
		for _, p := range predicates {
			if p(e) {
				return true
			}
		}
		return false
	}
}

// Not passes what the predicate drops. Of creations and deletions most
// predicates drop none, so that their opposites drop all.
func Not[T store.Object](p Predicate[T]) Predicate[T] {
	return func(e informer.Event[T]) bool { return !p(e) }
}
