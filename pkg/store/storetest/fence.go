package storetest

import (
	"errors"

	"github.com/homeostat/homeostat/pkg/store"
)

func fenceRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"a fence that holds lets every write through", fenceHolds[T]},
		{"a fence that no longer holds lets no write through, not even one without changes", fenceFallen[T]},
		{"a fence does not hold again when its key is created again", fenceRecreated[T]},
		{"several fences must all hold", fenceBeside[T]},
		{"an incomplete fence lets nothing through", fenceIncomplete[T]},
	}
}

// hold creates a key and returns the store fenced by it.
func (e *env[T]) hold(name string) (*store.Store, store.Fence) {
	e.t.Helper()
	f := store.Fence{Key: e.s.Prefix() + "fences/" + name}
	resp, err := e.s.Client().Put(e.t.Context(), f.Key, "me")
	e.must(err)
	f.CreateRevision = resp.Header.Revision
	return e.s.WithFences(f), f
}

func (e *env[T]) drop(f store.Fence) {
	e.t.Helper()
	_, err := e.s.Client().Delete(e.t.Context(), f.Key)
	e.must(err)
}

func fenceHolds[T store.Object](e *env[T]) {
	fenced, f := e.hold("a")
	_, err := e.s.Client().Put(e.t.Context(), f.Key, "still me")
	e.must(err)
	obj := e.kind.named("a")
	e.done(fenced.Create(e.t.Context(), obj))
	e.interrupt()
	*e.kind.spec(obj) = 2
	e.done(fenced.Update(e.t.Context(), obj))
	*e.kind.status(obj) = 3
	e.done(fenced.UpdateStatus(e.t.Context(), obj))
	_, _, err = store.Mutate(e.t.Context(), fenced, key("a"), e.increment)
	e.must(err)
	e.done(fenced.Delete(e.t.Context(), e.kind.named("a"), store.DeleteOptions{}))
}

func fenceFallen[T store.Object](e *env[T]) {
	fenced, f := e.hold("a")
	obj := e.created("a", func(obj T) { obj.SetFinalizers([]string{"example.com/f"}) })
	e.drop(f)
	e.refuses(fenced.Update, obj, isFenced)
	*e.kind.spec(obj), *e.kind.status(obj) = 3, 4
	e.s = fenced // no read is refused
	for _, w := range []write{fenced.Update, fenced.UpdateStatus, e.deleted(store.DeleteOptions{}), e.deleted(store.DeleteOptions{GracePeriodSeconds: 9})} {
		e.refuses(w, obj, isFenced)
	}
	e.refuses(fenced.Create, e.kind.named("b"), isFenced)
	e.refuses(e.commit(func(t *store.Txn, obj store.Object) { t.Absent(obj) }), e.kind.named("b"), isFenced)
	_, _, err := store.Mutate(e.t.Context(), fenced, key("a"), e.increment)
	e.want(err, isFenced)
	var refused *store.FencedError
	errors.As(err, &refused)
	equal(e.t, "fence", refused.Fence, f)
	equal(e.t, "what is there", refused.Found, 0)
}

func fenceRecreated[T store.Object](e *env[T]) {
	fenced, f := e.hold("a")
	obj := e.created("a")
	e.drop(f)
	other, now := e.hold("a")
	*e.kind.spec(obj) = 2
	e.refuses(fenced.Update, obj, isFenced)
	_, err := fenced.Update(e.t.Context(), obj)
	var refused *store.FencedError
	errors.As(err, &refused)
	equal(e.t, "what is there", refused.Found, now.CreateRevision)
	e.done(other.Update(e.t.Context(), obj))
}

func fenceBeside[T store.Object](e *env[T]) {
	first, _ := e.hold("a")
	_, f := e.hold("b")
	both := first.WithFences(f)
	obj := e.created("a")
	*e.kind.spec(obj) = 2
	e.done(both.Update(e.t.Context(), obj))
	e.drop(f)
	*e.kind.spec(obj) = 3
	e.refuses(both.Update, obj, saying(isFenced, f.Key))
	e.done(first.Update(e.t.Context(), obj))
}

func fenceIncomplete[T store.Object](e *env[T]) {
	for _, f := range []store.Fence{{}, {Key: "/no/such/key"}, {CreateRevision: 1}} {
		e.refuses(e.s.WithFences(f).Create, e.kind.named("a"), isOther)
	}
}
