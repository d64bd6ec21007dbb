package store

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Write describes a write, or an attempt to write, to the function that [ObserveWrites]
// was given.
type Write struct {
	// Client is the etcd client of the store that wrote. Revisions of different
	// clusters cannot be compared.
	Client *clientv3.Client
	// Keys are the full etcd keys of the objects written or checked.
	Keys []string
	// Revision is the revision of the write. If the write changed nothing or was
	// refused, Revision is one at which a read of the keys shows why. It is 0 if etcd
	// was not asked or did not answer.
	Revision int64
	// Replaced has, for each of Keys, the revision of the object that was there before,
	// or 0 if there was none. It is nil if nothing was written.
	Replaced []int64
	// Err is the error that the writer received.
	Err error
}

type observerKey struct{}

// ObserveWrites returns a context that reports writes. Every write with that context,
// through any store, calls observe before it returns. Package
// controller uses it to learn which revision a key's next reconcile must see.
//
// If ctx already has observers, they are called too. observe runs in the
// goroutine that writes and may be called concurrently.
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
