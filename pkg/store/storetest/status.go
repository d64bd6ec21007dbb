package storetest

import (
	"maps"

	"github.com/homeostat/homeostat/pkg/store"
)

func statusRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"a status update writes the status and the annotations alone", statusAlone[T]},
		{"update and status update of different writers keep each other's part", statusApart[T]},
		{"create and update join with a status update in one write", statusJoined[T]},
	}
}

func statusAlone[T store.Object](e *env[T]) {
	obj := e.created("a", func(obj T) { obj.SetAnnotations(map[string]string{"drop": "x", "keep": "y"}) })
	*e.spec(obj), *e.status(obj) = 3, 4
	obj.SetLabels(map[string]string{"a": "b"})
	obj.SetFinalizers([]string{"example.com/f"})
	obj.SetAnnotations(map[string]string{"keep": "y", "new": "z"})
	rev := e.done(e.s.UpdateStatus(e.Context(), obj))
	e.at(obj, rev)
	there := e.get("a")
	e.same(there, obj)
	equal(e, "spec", *e.spec(there), 0)
	equal(e, "status", *e.status(there), 4)
	equal(e, "labels and finalizers", len(there.GetLabels())+len(there.GetFinalizers()), 0)
	if want := map[string]string{"keep": "y", "new": "z"}; !maps.Equal(there.GetAnnotations(), want) {
		e.Fatalf("annotations %v, not %v", there.GetAnnotations(), want)
	}
}

func statusApart[T store.Object](e *env[T]) {
	user := e.created("a")
	controller := e.get("a")
	*e.spec(user), *e.status(controller) = 3, 4
	user.SetResourceVersion("")
	controller.SetResourceVersion("")
	e.done(e.s.Update(e.Context(), user))
	e.done(e.s.UpdateStatus(e.Context(), controller))
	*e.spec(user) = 5
	e.done(e.s.Update(e.Context(), e.withoutRevision(user)))
	there := e.get("a")
	equal(e, "spec", *e.spec(there), 5)
	equal(e, "status", *e.status(there), 4)
	equal(e, "generation", there.GetGeneration(), 3)
}

func (e *env[T]) withoutRevision(obj T) T {
	obj.SetResourceVersion("")
	return obj
}

func statusJoined[T store.Object](e *env[T]) {
	obj := e.sized("a", 1)
	*e.status(obj) = 2
	t := e.s.Txn()
	t.Create(obj)
	t.UpdateStatus(obj)
	e.done(t.Commit(e.Context()))
	equal(e, "status created", *e.status(e.get("a")), 2)
	e.interrupt()

	*e.spec(obj), *e.status(obj) = 3, 4
	t = e.s.Txn()
	t.UpdateStatus(obj)
	t.Update(obj)
	e.at(obj, e.done(t.Commit(e.Context())))
	there := e.get("a")
	e.same(there, obj)
	equal(e, "spec", *e.spec(there), 3)
	equal(e, "status", *e.status(there), 4)
}
