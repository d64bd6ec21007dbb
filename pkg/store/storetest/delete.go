package storetest

import "github.com/homeostat/homeostat/pkg/store"

func deleteRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"delete returns the last object, at the deletion's revision", deleteReturns[T]},
		{"delete of a missing object is NotFound", deleteMissing[T]},
		{"delete with a uid spares a new object of the same name", deleteUID[T]},
		{"delete with a resourceVersion spares an object that has changed", deleteRevision[T]},
		{"delete ignores the resourceVersion of the object itself", deleteStale[T]},
		{"one of many deleters wins", deleteOnce[T]},
		{"a grace period marks the object, can only be shortened, and ends with 0", deleteGrace[T]},
	}
}

func deleteReturns[T store.Object](e *env[T]) {
	there := e.created("a", func(obj T) { *e.kind.spec(obj) = 3 })
	obj := e.kind.named("a")
	rev := e.done(e.s.Delete(e.t.Context(), obj, store.DeleteOptions{}))
	e.at(obj, rev)
	equal(e.t, "revision", rev, e.revision())
	there.SetResourceVersion(obj.GetResourceVersion())
	e.same(obj, there)
	e.gone("a")
}

func deleteMissing[T store.Object](e *env[T]) {
	e.created("b")
	e.refuses(e.deleted(store.DeleteOptions{}), e.kind.named("a"), isNotFound)
	e.refuses(e.deleted(store.DeleteOptions{ResourceVersion: "5"}), e.kind.named("a"), isNotFound)
}

func deleteUID[T store.Object](e *env[T]) {
	first := e.created("a")
	e.done(e.s.Delete(e.t.Context(), e.kind.named("a"), store.DeleteOptions{}))
	second := e.created("a")
	e.refuses(e.deleted(store.DeleteOptions{}), first, isConflict)
	e.same(e.get("a"), second)
	e.done(e.s.Delete(e.t.Context(), second, store.DeleteOptions{}))
	e.gone("a")
}

func deleteRevision[T store.Object](e *env[T]) {
	obj := e.created("a")
	old := obj.GetResourceVersion()
	*e.kind.spec(obj) = 2
	e.done(e.s.Update(e.t.Context(), obj))
	e.refuses(e.deleted(store.DeleteOptions{ResourceVersion: old}), e.kind.named("a"), isConflict)
	e.done(e.s.Delete(e.t.Context(), e.kind.named("a"), store.DeleteOptions{ResourceVersion: obj.GetResourceVersion()}))
	e.gone("a")
}

func deleteStale[T store.Object](e *env[T]) {
	stale := e.created("a")
	now := e.get("a")
	*e.kind.spec(now) = 2
	e.done(e.s.Update(e.t.Context(), now))
	e.done(e.s.Delete(e.t.Context(), stale, store.DeleteOptions{}))
	equal(e.t, "the last spec", *e.kind.spec(stale), 2)
	e.gone("a")
}

func deleteOnce[T store.Object](e *env[T]) {
	e.created("a")
	won := 0
	for _, err := range together(16, func(int) error {
		_, err := e.s.Delete(e.t.Context(), e.kind.named("a"), store.DeleteOptions{})
		return err
	}) {
		if err == nil {
			won++
		} else {
			e.want(err, isNotFound)
		}
	}
	equal(e.t, "winners", won, 1)
}

func deleteGrace[T store.Object](e *env[T]) {
	e.created("a")
	obj := e.kind.named("a")
	e.done(e.s.Delete(e.t.Context(), obj, store.DeleteOptions{GracePeriodSeconds: 60}))
	e.same(e.get("a"), obj)
	if obj.GetDeletionTimestamp() == nil || *obj.GetDeletionGracePeriodSeconds() != 60 {
		e.t.Fatalf("deletionTimestamp %v, grace period %v", obj.GetDeletionTimestamp(), obj.GetDeletionGracePeriodSeconds())
	}
	before := e.revision()
	e.done(e.s.Delete(e.t.Context(), e.kind.named("a"), store.DeleteOptions{GracePeriodSeconds: 90}))
	e.stillAt(before)
	shorter := e.kind.named("a")
	e.done(e.s.Delete(e.t.Context(), shorter, store.DeleteOptions{GracePeriodSeconds: 30}))
	if *shorter.GetDeletionGracePeriodSeconds() != 30 || shorter.GetDeletionTimestamp().After(obj.GetDeletionTimestamp().Time) {
		e.t.Fatalf("deletionTimestamp %v, grace period %v", shorter.GetDeletionTimestamp(), shorter.GetDeletionGracePeriodSeconds())
	}
	e.done(e.s.Delete(e.t.Context(), e.kind.named("a"), store.DeleteOptions{}))
	e.gone("a")
}
