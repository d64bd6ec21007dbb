package storetest

import "github.com/homeostat/homeostat/pkg/store"

func cacheRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"a stale cache makes no write wrong", cacheBehind[T]},
	}
}

// cache holds one object.
type cache struct {
	etcdKey string
	obj     store.Object
}

func (c cache) Cached(etcdKey string) (store.Object, bool) { return c.obj, etcdKey == c.etcdKey }

func cacheBehind[T store.Object](e *env[T]) {
	old := e.created("a", func(obj T) { *e.kind.spec(obj) = 1 })
	cached := e.s.WithCache(cache{e.etcdKey("a"), old.DeepCopyObject().(T)})
	now := e.get("a")
	*e.kind.spec(now), *e.kind.status(now) = 2, 7
	t := cached.Txn()
	t.Update(now)
	t.UpdateStatus(now)
	e.done(t.Commit(e.t.Context()))

	e.refuses(cached.Update, old, isConflict)
	e.refuses(cached.Create, e.kind.named("a"), isTaken)
	back := e.kind.sized("a", 1) // as in the cache, not as in etcd
	e.done(cached.Update(e.t.Context(), back))
	e.same(e.get("a"), back)
	equal(e.t, "status", *e.kind.status(back), 7)
	equal(e.t, "generation", back.GetGeneration(), 3)
	e.done(cached.Delete(e.t.Context(), e.kind.named("a"), store.DeleteOptions{}))
	e.refuses(cached.Update, e.kind.sized("a", 1), isNotFound)
}
