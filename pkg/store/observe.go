package store

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Write is what an observer learns of a write, or of an attempt.
type Write struct {
	// Client is the etcd client of the store that wrote. Revisions of different
	// etcds do not compare.
	Client *clientv3.Client
	// Keys are the whole etcd keys of the objects that the write was about.
	Keys []string
	// Revision is the one that the write made. When the write changed nothing,
	// or was refused, it is one at which etcd shows why. It is 0 when the
	// answer never arrived, or etcd was not asked.
	Revision int64
	// Err is what the caller of the write was told.
	Err error
}

type observerKey struct{}

// ObserveWrites returns a context under which every write through any store
// tells observe of itself before it returns. A controller uses it to know which
// revision a reconcile must see before it runs again. An observer of ctx itself
// is told too. observe is called from the goroutine that wrote, possibly from
// several at once.
func ObserveWrites(ctx context.Context, observe func(Write)) context.Context {
	outer, nested := ctx.Value(observerKey{}).(func(Write))
	if !nested {
		return context.WithValue(ctx, observerKey{}, observe)
	}
	return context.WithValue(ctx, observerKey{}, func(w Write) {
		observe(w)
		outer(w)
	})
}

func observeWrite(ctx context.Context, w Write) {
	if observe, ok := ctx.Value(observerKey{}).(func(Write)); ok {
		observe(w)
	}
}
