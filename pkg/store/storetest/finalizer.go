package storetest

import "github.com/homeostat/homeostat/pkg/store"

func finalizerRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"delete marks an object with finalizers, once", finalizerMarks[T]},
		{"the update that removes the last finalizer completes the deletion", finalizerCompletes[T]},
		{"an object that is being deleted takes no new finalizer", finalizerRefused[T]},
		{"a marked object can be changed, and stays marked", finalizerChange[T]},
	}
}

// marked returns a deleted object that still has finalizers.
func (e *env[T]) marked(name string, finalizers ...string) T {
	e.t.Helper()
	e.created(name, func(obj T) { obj.SetFinalizers(finalizers) })
	obj := e.kind.named(name)
	e.done(e.s.Delete(e.t.Context(), obj, store.DeleteOptions{}))
	return obj
}

func finalizerMarks[T store.Object](e *env[T]) {
	obj := e.marked("a", "example.com/f")
	e.same(e.get("a"), obj)
	e.at(obj, e.revision())
	if obj.GetDeletionTimestamp() == nil {
		e.t.Fatal("there is no deletionTimestamp")
	}
	equal(e.t, "generation", obj.GetGeneration(), 2)
	before := e.revision()
	again := e.kind.named("a")
	e.done(e.s.Delete(e.t.Context(), again, store.DeleteOptions{}))
	e.same(again, obj)
	e.stillAt(before)
}

func finalizerCompletes[T store.Object](e *env[T]) {
	obj := e.marked("a", "example.com/f", "example.com/g")
	obj.SetFinalizers([]string{"example.com/g"})
	e.done(e.s.Update(e.t.Context(), obj))
	e.same(e.get("a"), obj)
	obj.SetFinalizers(nil)
	rev := e.done(e.s.Update(e.t.Context(), obj))
	e.at(obj, rev)
	equal(e.t, "revision", rev, e.revision())
	e.gone("a")
}

func finalizerRefused[T store.Object](e *env[T]) {
	obj := e.marked("a", "example.com/f")
	obj.SetFinalizers([]string{"example.com/f", "example.com/new"})
	e.refuses(e.s.Update, obj, saying(isInvalid, "metadata.finalizers"))
}

func finalizerChange[T store.Object](e *env[T]) {
	obj := e.marked("a", "example.com/f")
	at := obj.GetDeletionTimestamp()
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	*e.kind.spec(obj), *e.kind.status(obj) = 3, 4
	t := e.s.Txn()
	t.Update(obj)
	t.UpdateStatus(obj)
	e.done(t.Commit(e.t.Context()))
	there := e.get("a")
	if !there.GetDeletionTimestamp().Equal(at) {
		e.t.Fatalf("deletionTimestamp %v, not %v", there.GetDeletionTimestamp(), at)
	}
	equal(e.t, "spec", *e.kind.spec(there), 3)
	equal(e.t, "status", *e.kind.status(there), 4)
}
