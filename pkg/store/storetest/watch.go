package storetest

import (
	"context"
	"errors"
	"iter"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/store"
)

func watchRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"a watch from a list's next revision continues it without a gap", watchContinues[T]},
		{"a watch across an interruption yields each change once", watchInterrupted[T]},
		{"a watch with a selector reports objects that start and stop matching", watchSelector[T]},
		{"a watch of a namespace reports no other", watchNamespace[T]},
		{"a watch from a compacted revision has expired, and names the oldest revision left", watchCompacted[T]},
		{"a watch survives a value that cannot be decoded", watchUndecodable[T]},
		{"a watch ends with its context, and returns how far it got", watchEnds[T]},
	}
}

// watcher returns a watch's events one by one.
type watcher[T store.Object] struct {
	e    *env[T]
	next func() (store.Event[T], error, bool)
}

func (e *env[T]) watch(o store.WatchOptions) watcher[T] {
	next, stop := iter.Pull2(store.Watch[T](e.t.Context(), e.s, o))
	e.t.Cleanup(stop)
	return watcher[T]{e, next}
}

// expect fails the test unless the next event is the given one.
func (w watcher[T]) expect(what store.EventType, name string, revision int64) store.Event[T] {
	w.e.t.Helper()
	ev, err, ok := w.next()
	if !ok || err != nil {
		w.e.t.Fatalf("no event but %v", err)
	}
	if ev.Type != what || ev.Object.GetName() != name || ev.Revision != revision {
		w.e.t.Fatalf("event %s of %s at revision %d, not %s of %s at %d",
			ev.Type, ev.Object.GetName(), ev.Revision, what, name, revision)
	}
	w.e.at(ev.Object, revision)
	return ev
}

func watchContinues[T store.Object](e *env[T]) {
	obj := e.created("a", func(obj T) { *e.kind.spec(obj) = 1 })
	list := e.list(store.ListOptions{})
	*e.kind.spec(obj) = 2
	modified := e.done(e.s.Update(e.t.Context(), obj))
	added := e.done(e.s.Create(e.t.Context(), e.kind.named("b")))
	deleted := e.done(e.s.Delete(e.t.Context(), e.kind.named("a"), store.DeleteOptions{}))
	w := e.watch(store.WatchOptions{From: list.Revision + 1})
	ev := w.expect(store.Modified, "a", modified)
	e.same(ev.Object, obj)
	equal(e.t, "the old spec", *e.kind.spec(ev.Old), 1)
	w.expect(store.Added, "b", added)
	last := w.expect(store.Deleted, "a", deleted)
	equal(e.t, "the last spec", *e.kind.spec(last.Object), 2)
	live := e.done(e.s.Create(e.t.Context(), e.kind.named("c")))
	w.expect(store.Added, "c", live)
}

func watchInterrupted[T store.Object](e *env[T]) {
	from := e.revision() + 1
	w := e.watch(store.WatchOptions{From: from})
	for round := range 3 {
		obj := e.kind.named("a")
		w.expectAfter(store.Added, "a", func() (int64, error) { return e.s.Create(e.t.Context(), obj) })
		if round > 0 {
			e.interrupt()
		}
		*e.kind.spec(obj) = 2
		w.expectAfter(store.Modified, "a", func() (int64, error) { return e.s.Update(e.t.Context(), obj) })
		w.expectAfter(store.Deleted, "a", func() (int64, error) { return e.s.Delete(e.t.Context(), obj, store.DeleteOptions{}) })
	}
}

func (w watcher[T]) expectAfter(what store.EventType, name string, write func() (int64, error)) {
	w.e.t.Helper()
	w.expect(what, name, w.e.done(write()))
}

func watchSelector[T store.Object](e *env[T]) {
	from := e.revision() + 1
	obj := e.created("a")
	set := func(value string, size int32) int64 {
		e.t.Helper()
		obj.SetLabels(map[string]string{"in": value})
		*e.kind.spec(obj) = size
		return e.done(e.s.Update(e.t.Context(), obj))
	}
	begins, stays, ceases := set("yes", 1), set("yes", 2), set("no", 3)
	begins2 := set("yes", 4)
	gone := e.done(e.s.Delete(e.t.Context(), e.kind.named("a"), store.DeleteOptions{}))
	w := e.watch(store.WatchOptions{From: from, Selector: labels.SelectorFromSet(labels.Set{"in": "yes"})})
	w.expect(store.Added, "a", begins)
	w.expect(store.Modified, "a", stays)
	last := w.expect(store.Deleted, "a", ceases)
	equal(e.t, "the last spec that matched", *e.kind.spec(last.Object), 2)
	w.expect(store.Added, "a", begins2)
	w.expect(store.Deleted, "a", gone)
}

func watchNamespace[T store.Object](e *env[T]) {
	from := e.revision() + 1
	for _, ns := range []string{"another", "defaults"} {
		obj := e.kind.named("b")
		obj.SetNamespace(ns)
		e.done(e.s.Create(e.t.Context(), obj))
	}
	e.created("a")
	e.watch(store.WatchOptions{From: from, Namespace: "default"}).expect(store.Added, "a", e.revision())
}

func watchCompacted[T store.Object](e *env[T]) {
	from := e.revision() + 1
	obj := e.created("a")
	*e.kind.spec(obj) = 2
	e.done(e.s.Update(e.t.Context(), obj))
	left := e.revision()
	e.compact(left)
	_, err, _ := e.watch(store.WatchOptions{From: from}).next()
	e.want(err, isExpired)
	var compacted *etcd.CompactedError
	if !errors.As(err, &compacted) {
		e.t.Fatalf("the error does not say what is left: %v", err)
	}
	equal(e.t, "what is left", compacted.Revision, left)
	// The compaction's own revision is still available.
	e.watch(store.WatchOptions{From: left}).expect(store.Modified, "a", left)
	_, err, _ = e.watch(store.WatchOptions{}).next()
	e.want(err, isBadRequest)
}

func watchUndecodable[T store.Object](e *env[T]) {
	from := e.revision() + 1
	etcdKey := e.put("a", "garbage")
	added := e.done(e.s.Create(e.t.Context(), e.kind.named("b")))
	w := e.watch(store.WatchOptions{From: from})
	_, err, _ := w.next()
	e.want(err, saying(isUndecodable, etcdKey))
	w.expect(store.Added, "b", added)
	resp, err := e.s.Client().Delete(e.t.Context(), etcdKey)
	e.must(err)
	w.expect(store.Deleted, "a", resp.Header.Revision)
}

func watchEnds[T store.Object](e *env[T]) {
	e.created("a")
	ctx, cancel := context.WithCancel(e.t.Context())
	defer cancel()
	next, stop := iter.Pull2(store.Watch[T](ctx, e.s, store.WatchOptions{From: e.revision()}))
	defer stop()
	if _, err, _ := next(); err != nil {
		e.t.Fatal(err)
	}
	cancel()
	_, err, _ := next()
	if !errors.Is(err, context.Canceled) {
		e.t.Fatalf("the error is %v", err)
	}
	e.want(err, saying(isOther, store.FormatRevision(e.revision())))
	if _, _, more := next(); more {
		e.t.Fatal("it goes on after its error")
	}
}
