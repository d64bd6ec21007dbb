package storetest

import "github.com/homeostat/homeostat/pkg/store"

func deleteRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"delete returns the last object, at the deletion's revision", deleteReturns[T]},
		{"delete of an object that is not there is NotFound", deleteMissing[T]},
		{"delete with a uid spares what took the name", deleteUID[T]},
		{"delete with a resourceVersion spares what has changed", deleteRevision[T]},
		{"delete ignores the resourceVersion of the object itself", deleteStale[T]},
		{"one of many deleters wins", deleteOnce[T]},
		{"a grace period marks, can be shortened alone, and ends with 0", deleteGrace[T]},
	}
}

func deleteReturns[T store.Object](e *env[T]) {
	there := e.created("a", func(obj T) { *e.spec(obj) = 3 })
	obj := e.named("a")
	rev := e.done(e.s.Delete(e.Context(), obj))
	e.at(obj, rev)
	equal(e, "revision", rev, e.revision())
	there.SetResourceVersion(obj.GetResourceVersion())
	e.same(obj, there)
	e.gone("a")
}

func deleteMissing[T store.Object](e *env[T]) {
	e.created("b")
	e.refuses(e.deleted(store.DeleteOptions{}), e.named("a"), isNotFound)
	e.refuses(e.deleted(store.DeleteOptions{ResourceVersion: "5"}), e.named("a"), isNotFound)
}

func deleteUID[T store.Object](e *env[T]) {
	first := e.created("a")
	e.done(e.s.Delete(e.Context(), e.named("a")))
	second := e.created("a")
	e.refuses(e.deleted(store.DeleteOptions{}), first, isConflict)
	e.same(e.get("a"), second)
	e.done(e.s.Delete(e.Context(), second))
	e.gone("a")
}

func deleteRevision[T store.Object](e *env[T]) {
	obj := e.created("a")
	old := obj.GetResourceVersion()
	*e.spec(obj) = 2
	e.done(e.s.Update(e.Context(), obj))
	e.refuses(e.deleted(store.DeleteOptions{ResourceVersion: old}), e.named("a"), isConflict)
	e.done(e.s.Delete(e.Context(), e.named("a"), store.DeleteOptions{ResourceVersion: obj.GetResourceVersion()}))
	e.gone("a")
}

func deleteStale[T store.Object](e *env[T]) {
	stale := e.created("a")
	now := e.get("a")
	*e.spec(now) = 2
	e.done(e.s.Update(e.Context(), now))
	e.done(e.s.Delete(e.Context(), stale))
	equal(e, "the last spec", *e.spec(stale), 2)
	e.gone("a")
}

func deleteOnce[T store.Object](e *env[T]) {
	e.created("a")
	won := 0
	for _, err := range together(16, func(int) error {
		_, err := e.s.Delete(e.Context(), e.named("a"))
		return err
	}) {
		if err == nil {
			won++
		} else {
			e.want(err, isNotFound)
		}
	}
	equal(e, "winners", won, 1)
}

func deleteGrace[T store.Object](e *env[T]) {
	e.created("a")
	obj := e.named("a")
	e.done(e.s.Delete(e.Context(), obj, store.DeleteOptions{GracePeriodSeconds: 60}))
	e.same(e.get("a"), obj)
	if obj.GetDeletionTimestamp() == nil || *obj.GetDeletionGracePeriodSeconds() != 60 {
		e.Fatalf("deletionTimestamp %v, grace period %v", obj.GetDeletionTimestamp(), obj.GetDeletionGracePeriodSeconds())
	}
	before := e.revision()
	e.done(e.s.Delete(e.Context(), e.named("a"), store.DeleteOptions{GracePeriodSeconds: 90}))
	e.stillAt(before)
	shorter := e.named("a")
	e.done(e.s.Delete(e.Context(), shorter, store.DeleteOptions{GracePeriodSeconds: 30}))
	if *shorter.GetDeletionGracePeriodSeconds() != 30 || shorter.GetDeletionTimestamp().After(obj.GetDeletionTimestamp().Time) {
		e.Fatalf("deletionTimestamp %v, grace period %v", shorter.GetDeletionTimestamp(), shorter.GetDeletionGracePeriodSeconds())
	}
	e.done(e.s.Delete(e.Context(), e.named("a")))
	e.gone("a")
}
