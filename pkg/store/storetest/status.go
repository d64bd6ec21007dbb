package storetest

import (
	"maps"

	"github.com/homeostat/homeostat/pkg/store"
)

func statusRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"a status update writes only the status and the annotations", statusAlone[T]},
		{"updates and status updates of different writers keep each other's changes", statusApart[T]},
		{"create and update can be combined with a status update in one write", statusJoined[T]},
	}
}

func statusAlone[T store.Object](e *env[T]) {
	obj := e.created("a", func(obj T) { obj.SetAnnotations(map[string]string{"drop": "x", "keep": "y"}) })
	*e.kind.spec(obj), *e.kind.status(obj) = 3, 4
	obj.SetLabels(map[string]string{"a": "b"})
	obj.SetFinalizers([]string{"example.com/f"})
	obj.SetAnnotations(map[string]string{"keep": "y", "new": "z"})
	rev := e.done(e.s.UpdateStatus(e.t.Context(), obj))
	e.at(obj, rev)
	there := e.get("a")
	e.same(there, obj)
	equal(e.t, "spec", *e.kind.spec(there), 0)
	equal(e.t, "status", *e.kind.status(there), 4)
	equal(e.t, "labels and finalizers", len(there.GetLabels())+len(there.GetFinalizers()), 0)
	if want := map[string]string{"keep": "y", "new": "z"}; !maps.Equal(there.GetAnnotations(), want) {
		e.t.Fatalf("annotations %v, not %v", there.GetAnnotations(), want)
	}
}

func statusApart[T store.Object](e *env[T]) {
	user := e.created("a")
	controller := e.get("a")
	*e.kind.spec(user), *e.kind.status(controller) = 3, 4
	user.SetResourceVersion("")
	controller.SetResourceVersion("")
	e.done(e.s.Update(e.t.Context(), user))
	e.done(e.s.UpdateStatus(e.t.Context(), controller))
	*e.kind.spec(user) = 5
	e.done(e.s.Update(e.t.Context(), e.withoutRevision(user)))
	there := e.get("a")
	equal(e.t, "spec", *e.kind.spec(there), 5)
	equal(e.t, "status", *e.kind.status(there), 4)
	equal(e.t, "generation", there.GetGeneration(), 3)
}

func (e *env[T]) withoutRevision(obj T) T {
	obj.SetResourceVersion("")
	return obj
}

func statusJoined[T store.Object](e *env[T]) {
	obj := e.kind.sized("a", 1)
	*e.kind.status(obj) = 2
	t := e.s.Txn()
	t.Create(obj)
	t.UpdateStatus(obj)
	e.done(t.Commit(e.t.Context()))
	equal(e.t, "status created", *e.kind.status(e.get("a")), 2)
	e.interrupt()

	*e.kind.spec(obj), *e.kind.status(obj) = 3, 4
	t = e.s.Txn()
	t.UpdateStatus(obj)
	t.Update(obj)
	e.at(obj, e.done(t.Commit(e.t.Context())))
	there := e.get("a")
	e.same(there, obj)
	equal(e.t, "spec", *e.kind.spec(there), 3)
	equal(e.t, "status", *e.kind.status(there), 4)
}
