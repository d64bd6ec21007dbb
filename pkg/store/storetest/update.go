package storetest

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/store"
)

func updateRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"update writes everything but the status", updateWrites[T]},
		{"update with a stale resourceVersion conflicts", updateStale[T]},
		{"update without a resourceVersion replaces the object", updateReplaces[T]},
		{"update of a missing object is NotFound", updateMissing[T]},
		{"a stale update of an object that was deleted and created again conflicts", updateRecreated[T]},
		{"update that changes nothing costs no revision, and is verified", updateNothing[T]},
		{"the generation changes only with the spec", updateGeneration[T]},
		{"immutable fields stay, and may be left empty", updateImmutable[T]},
	}
}

func updateWrites[T store.Object](e *env[T]) {
	obj := e.created("a")
	*e.kind.spec(obj), *e.kind.status(obj) = 3, 4
	obj.SetLabels(map[string]string{"a": "b"})
	rev := e.done(e.s.Update(e.t.Context(), obj))
	e.at(obj, rev)
	equal(e.t, "revision", rev, e.revision())
	e.same(e.get("a"), obj)
	equal(e.t, "spec", *e.kind.spec(obj), 3)
	equal(e.t, "status", *e.kind.status(obj), 0)
	equal(e.t, "label", obj.GetLabels()["a"], "b")
}

func updateStale[T store.Object](e *env[T]) {
	stale := e.created("a")
	now := e.get("a")
	*e.kind.spec(now) = 3
	e.done(e.s.Update(e.t.Context(), now))
	*e.kind.spec(stale) = 4
	e.refuses(e.s.Update, stale, isConflict)
	e.refuses(e.s.UpdateStatus, stale, isConflict)
	e.same(e.get("a"), now)
	ahead := now.DeepCopyObject().(T)
	ahead.SetResourceVersion(store.FormatRevision(e.revision() + 100))
	e.refuses(e.s.Update, ahead, isConflict)
}

func updateReplaces[T store.Object](e *env[T]) {
	there := e.created("a", func(obj T) { obj.SetLabels(map[string]string{"old": "x"}) })
	obj := e.kind.sized("a", 5)
	e.done(e.s.Update(e.t.Context(), obj))
	equal(e.t, "uid", obj.GetUID(), there.GetUID())
	equal(e.t, "labels", len(obj.GetLabels()), 0)
	e.same(e.get("a"), obj)
}

func updateMissing[T store.Object](e *env[T]) {
	obj := e.created("a")
	e.done(e.s.Delete(e.t.Context(), e.kind.named("a"), store.DeleteOptions{}))
	for _, missing := range []T{obj, e.kind.named("never")} {
		e.refuses(e.s.Update, missing, isNotFound)
		e.refuses(e.s.UpdateStatus, missing, isNotFound)
	}
}

func updateRecreated[T store.Object](e *env[T]) {
	stale := e.created("a")
	e.done(e.s.Delete(e.t.Context(), e.kind.named("a"), store.DeleteOptions{}))
	now := e.created("a")
	*e.kind.spec(stale) = 7
	e.refuses(e.s.Update, stale, isConflict)
	e.refuses(e.s.UpdateStatus, stale, isConflict)
	stale.SetResourceVersion("") // only the uid differs
	e.refuses(e.s.Update, stale, isConflict)
	e.refuses(e.s.UpdateStatus, stale, isConflict)
	e.same(e.get("a"), now)
}

func updateNothing[T store.Object](e *env[T]) {
	obj := e.created("a", func(obj T) { obj.SetLabels(map[string]string{"a": "b"}) })
	before := e.revision()
	for _, w := range []write{e.s.Update, e.s.UpdateStatus} {
		same := obj.DeepCopyObject().(T)
		rev := e.done(w(e.t.Context(), same))
		e.at(obj, rev)
		e.same(same, obj)
	}
	e.stillAt(before)
	stale := obj.DeepCopyObject().(T)
	*e.kind.spec(obj) = 2
	e.done(e.s.Update(e.t.Context(), obj))
	e.refuses(e.s.Update, stale, isConflict)
}

func updateGeneration[T store.Object](e *env[T]) {
	obj := e.created("a")
	obj.SetLabels(map[string]string{"a": "b"})
	e.done(e.s.Update(e.t.Context(), obj))
	equal(e.t, "generation after a label", obj.GetGeneration(), 1)
	*e.kind.status(obj) = 2
	e.done(e.s.UpdateStatus(e.t.Context(), obj))
	equal(e.t, "generation after a status", obj.GetGeneration(), 1)
	*e.kind.spec(obj) = 2
	obj.SetGeneration(40)
	e.done(e.s.Update(e.t.Context(), obj))
	equal(e.t, "generation after a spec", obj.GetGeneration(), 2)
	equal(e.t, "generation stored", e.get("a").GetGeneration(), 2)
}

func updateImmutable[T store.Object](e *env[T]) {
	there := e.created("a")
	obj := e.get("a")
	obj.SetUID("")
	obj.SetCreationTimestamp(metav1.Time{})
	now := metav1.Now()
	obj.SetDeletionTimestamp(&now)
	*e.kind.spec(obj) = 2
	e.done(e.s.Update(e.t.Context(), obj))
	equal(e.t, "uid", obj.GetUID(), there.GetUID())
	if !obj.GetCreationTimestamp().Time.Equal(there.GetCreationTimestamp().Time) || obj.GetDeletionTimestamp() != nil {
		e.t.Fatalf("created %v, deleted %v", obj.GetCreationTimestamp(), obj.GetDeletionTimestamp())
	}
	obj.SetCreationTimestamp(metav1.NewTime(time.Unix(1, 0)))
	e.refuses(e.s.Update, obj, saying(isInvalid, "metadata.creationTimestamp"))
}
