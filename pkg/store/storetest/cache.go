package storetest

import "github.com/homeostat/homeostat/pkg/store"

func cacheRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"a cache that is behind makes no write wrong", cacheBehind[T]},
	}
}

// cache knows one object.
type cache struct {
	etcdKey string
	obj     store.Object
}

func (c cache) Cached(etcdKey string) (store.Object, bool) { return c.obj, etcdKey == c.etcdKey }

func cacheBehind[T store.Object](e *env[T]) {
	old := e.created("a", func(obj T) { *e.spec(obj) = 1 })
	cached := e.s.WithCache(cache{e.etcdKey("a"), old.DeepCopyObject().(T)})
	now := e.get("a")
	*e.spec(now), *e.status(now) = 2, 7
	t := cached.Txn()
	t.Update(now)
	t.UpdateStatus(now)
	e.done(t.Commit(e.Context()))

	e.refuses(cached.Update, old, isConflict)
	e.refuses(cached.Create, e.named("a"), isTaken)
	back := e.sized("a", 1) // what the cache has, and etcd has not
	e.done(cached.Update(e.Context(), back))
	e.same(e.get("a"), back)
	equal(e, "status", *e.status(back), 7)
	equal(e, "generation", back.GetGeneration(), 3)
	e.done(cached.Delete(e.Context(), e.named("a")))
	e.refuses(cached.Update, e.sized("a", 1), isNotFound)
}
