package storetest

import (
	"context"
	"errors"
	"iter"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/store"
)

func watchRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"a watch from a list's next revision continues it without a gap", watchContinues[T]},
		{"a watch across an interruption yields each change once", watchInterrupted[T]},
		{"a watch of a selector tells what begins and ceases to match", watchSelector[T]},
		{"a watch of a namespace tells of no other", watchNamespace[T]},
		{"a watch from a revision that is compacted has expired, and says what is left", watchCompacted[T]},
		{"a watch survives a value that cannot be decoded", watchUndecodable[T]},
		{"a watch ends with its context, and says how far it came", watchEnds[T]},
	}
}

// watcher takes a watch's events one by one.
type watcher[T store.Object] struct {
	e    *env[T]
	next func() (store.Event[T], error, bool)
}

func (e *env[T]) watch(o store.WatchOptions) watcher[T] {
	next, stop := iter.Pull2(store.Watch[T](e.Context(), e.s, o))
	e.Cleanup(stop)
	return watcher[T]{e, next}
}

// expect fails unless the next event is this one.
func (w watcher[T]) expect(what store.EventType, name string, revision int64) store.Event[T] {
	w.e.Helper()
	ev, err, ok := w.next()
	if !ok || err != nil {
		w.e.Fatalf("no event but %v", err)
	}
	if ev.Type != what || ev.Object.GetName() != name || ev.Revision != revision {
		w.e.Fatalf("event %s of %s at revision %d, not %s of %s at %d",
			ev.Type, ev.Object.GetName(), ev.Revision, what, name, revision)
	}
	w.e.at(ev.Object, revision)
	return ev
}

func watchContinues[T store.Object](e *env[T]) {
	obj := e.created("a", func(obj T) { *e.spec(obj) = 1 })
	list := e.list(store.ListOptions{})
	*e.spec(obj) = 2
	modified := e.done(e.s.Update(e.Context(), obj))
	added := e.done(e.s.Create(e.Context(), e.named("b")))
	deleted := e.done(e.s.Delete(e.Context(), e.named("a")))
	w := e.watch(store.WatchOptions{From: list.Revision + 1})
	ev := w.expect(store.Modified, "a", modified)
	e.same(ev.Object, obj)
	equal(e, "the old spec", *e.spec(ev.Old), 1)
	w.expect(store.Added, "b", added)
	last := w.expect(store.Deleted, "a", deleted)
	equal(e, "the last spec", *e.spec(last.Object), 2)
	live := e.done(e.s.Create(e.Context(), e.named("c")))
	w.expect(store.Added, "c", live)
}

func watchInterrupted[T store.Object](e *env[T]) {
	from := e.revision() + 1
	w := e.watch(store.WatchOptions{From: from})
	for round := range 3 {
		obj := e.named("a")
		w.expectAfter(store.Added, "a", func() (int64, error) { return e.s.Create(e.Context(), obj) })
		if round > 0 {
			e.interrupt()
		}
		*e.spec(obj) = 2
		w.expectAfter(store.Modified, "a", func() (int64, error) { return e.s.Update(e.Context(), obj) })
		w.expectAfter(store.Deleted, "a", func() (int64, error) { return e.s.Delete(e.Context(), obj) })
	}
}

func (w watcher[T]) expectAfter(what store.EventType, name string, write func() (int64, error)) {
	w.e.Helper()
	w.expect(what, name, w.e.done(write()))
}

func watchSelector[T store.Object](e *env[T]) {
	from := e.revision() + 1
	obj := e.created("a")
	set := func(value string, size int32) int64 {
		e.Helper()
		obj.SetLabels(map[string]string{"in": value})
		*e.spec(obj) = size
		return e.done(e.s.Update(e.Context(), obj))
	}
	begins, stays, ceases := set("yes", 1), set("yes", 2), set("no", 3)
	begins2 := set("yes", 4)
	gone := e.done(e.s.Delete(e.Context(), e.named("a")))
	w := e.watch(store.WatchOptions{From: from, Selector: labels.SelectorFromSet(labels.Set{"in": "yes"})})
	w.expect(store.Added, "a", begins)
	w.expect(store.Modified, "a", stays)
	last := w.expect(store.Deleted, "a", ceases)
	equal(e, "the last spec that matched", *e.spec(last.Object), 2)
	w.expect(store.Added, "a", begins2)
	w.expect(store.Deleted, "a", gone)
}

func watchNamespace[T store.Object](e *env[T]) {
	from := e.revision() + 1
	for _, ns := range []string{"another", "defaults"} {
		obj := e.named("b")
		obj.SetNamespace(ns)
		e.done(e.s.Create(e.Context(), obj))
	}
	e.created("a")
	e.watch(store.WatchOptions{From: from, Namespace: "default"}).expect(store.Added, "a", e.revision())
}

func watchCompacted[T store.Object](e *env[T]) {
	from := e.revision() + 1
	obj := e.created("a")
	*e.spec(obj) = 2
	e.done(e.s.Update(e.Context(), obj))
	left := e.revision()
	e.compact(left)
	_, err, _ := e.watch(store.WatchOptions{From: from}).next()
	e.want(err, isExpired)
	var compacted *store.CompactedError
	if !errors.As(err, &compacted) {
		e.Fatalf("the error does not say what is left: %v", err)
	}
	equal(e, "what is left", compacted.Revision, left)
	// The revision that the compaction was at can still be had.
	e.watch(store.WatchOptions{From: left}).expect(store.Modified, "a", left)
	_, err, _ = e.watch(store.WatchOptions{}).next()
	e.want(err, isOther)
}

func watchUndecodable[T store.Object](e *env[T]) {
	from := e.revision() + 1
	etcdKey := e.put("a", "garbage")
	added := e.done(e.s.Create(e.Context(), e.named("b")))
	w := e.watch(store.WatchOptions{From: from})
	_, err, _ := w.next()
	e.want(err, saying(isUndecodable, etcdKey))
	w.expect(store.Added, "b", added)
	resp, err := e.s.Client().Delete(e.Context(), etcdKey)
	e.must(err)
	w.expect(store.Deleted, "a", resp.Header.Revision)
}

func watchEnds[T store.Object](e *env[T]) {
	e.created("a")
	ctx, cancel := context.WithCancel(e.Context())
	defer cancel()
	next, stop := iter.Pull2(store.Watch[T](ctx, e.s, store.WatchOptions{From: e.revision()}))
	defer stop()
	if _, err, _ := next(); err != nil {
		e.Fatal(err)
	}
	cancel()
	_, err, _ := next()
	if !errors.Is(err, context.Canceled) {
		e.Fatalf("the error is %v", err)
	}
	e.want(err, saying(isOther, store.FormatRevision(e.revision())))
	if _, _, more := next(); more {
		e.Fatal("it goes on after its error")
	}
}
