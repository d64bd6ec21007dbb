package informer

import (
	"context"
	"fmt"
	"sync"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// revisionWaiters holds the functions to call when the replica reaches a revision.
type revisionWaiters struct {
	mu      sync.Mutex // guards waiting
	waiting map[*waiter]struct{}
}

type waiter struct {
	revision int64
	f        func()
}

// reached calls the functions that wait for a revision up to this one.
func (w *revisionWaiters) reached(revision int64) {
	w.mu.Lock()
	var ready []*waiter
	for x := range w.waiting {
		if x.revision <= revision {
			ready = append(ready, x)
			delete(w.waiting, x)
		}
	}
	w.mu.Unlock()
	for _, x := range ready {
		x.f()
	}
}

// furthest returns the highest revision that is waited for; 0 if there is none.
func (w *revisionWaiters) furthest() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var furthest int64
	for x := range w.waiting {
		furthest = max(furthest, x.revision)
	}
	return furthest
}

// AfterRevision calls f once the replica has reached a revision. If it has reached
// it already, AfterRevision calls f before it returns. Otherwise the replica's own
// goroutine calls f, which must not block.
//
// The revision may be that of a write to a key outside the replica: if no event
// arrives, the replica asks etcd for its progress.
//
// If etcd was wiped or restored, the revision may never come. The replica then calls f
// after the relist that follows. See [Replica.WaitForRevision] for the time before
// that.
//
// The function stop cancels the call of f. It returns false if f was called already or
// the call has begun.
func (r *Replica) AfterRevision(revision int64, f func()) (stop func() bool) {
	x := &waiter{revision, f}
	r.waiters.mu.Lock()
	// reached takes this lock after the snapshot was stored, so that no revision
	// is missed between this check and the entry in the map.
	if r.Snapshot().revision >= revision {
		r.waiters.mu.Unlock()
		f()
		return func() bool { return false }
	}
	if r.waiters.waiting == nil {
		r.waiters.waiting = map[*waiter]struct{}{}
	}
	r.waiters.waiting[x] = struct{}{}
	r.waiters.mu.Unlock()
	signal(r.waiterAdded)
	return func() bool {
		r.waiters.mu.Lock()
		defer r.waiters.mu.Unlock()
		_, waiting := r.waiters.waiting[x]
		delete(r.waiters.waiting, x)
		return waiting
	}
}

// WaitForRevision waits until the replica has reached a revision, such as that of
// a write, or has relisted an etcd that has lost the revision. The error is that of
// ctx, with the reason of the delay if it is known.
//
// A revision is only a number. After etcd was wiped or restored, a new revision may
// be one that the replica reached earlier. Until the replica notices, which takes
// seconds at most, such a revision counts as reached. [Replica.FreshSnapshot] asks
// etcd and does not have this gap.
func (r *Replica) WaitForRevision(ctx context.Context, revision int64) error {
	reached := make(chan struct{})
	stop := r.AfterRevision(revision, func() { close(reached) })
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
	}
	if !stop() {
		return nil // it was reached, at the last moment
	}
	return r.explainWait(fmt.Errorf("wait for revision %d, at %d: %w", revision, r.Snapshot().revision, ctx.Err()))
}

// FreshSnapshot returns a snapshot that is at least as new as etcd was at the time
// of the call. It is a linearizable read of the whole replica that asks etcd only
// for its revision. The error is etcd's, or that of ctx with the reason of the delay
// if it is known.
func (r *Replica) FreshSnapshot(ctx context.Context) (*Snapshot, error) {
	before := r.Snapshot()
	revision, err := r.CurrentRevision(ctx)
	if err != nil {
		return nil, err
	}
	if revision < before.revision {
		if err := r.waitForEpoch(ctx, before.epoch+1); err != nil {
			return nil, err
		}
	}
	if err := r.WaitForRevision(ctx, revision); err != nil {
		return nil, err
	}
	return r.Snapshot(), nil
}

// CurrentRevision asks etcd for its current revision, with one cheap linearizable
// read. Use it with [Replica.WaitForRevision] or [Replica.AfterRevision] to wait until
// the replica has everything that was written before the call. Unlike
// [store.Store.Revision], it needs permission only for one of the replica's kinds.
func (r *Replica) CurrentRevision(ctx context.Context) (int64, error) {
	return etcd.CurrentRevision(ctx, r.store.Client(), r.readableRange())
}

func (r *Replica) readableRange() etcd.Range {
	prefix := r.store.Prefix()
	if kinds := *r.sorted.Load(); len(kinds) > 0 {
		prefix = kinds[0].prefix
	}
	return etcd.PrefixRange(prefix)
}

// waitForEpoch waits until the replica has relisted an etcd that was seen to have
// gone back.
func (r *Replica) waitForEpoch(ctx context.Context, epoch int) error {
	for {
		listed := r.listed.Changed()
		r.mu.Lock()
		r.seenEpoch = max(r.seenEpoch, epoch)
		now := r.epoch
		r.mu.Unlock()
		if now >= epoch {
			return nil
		}
		signal(r.regressionSeen)
		select {
		case <-listed:
		case <-ctx.Done():
			return r.explainWait(fmt.Errorf("wait for the relist of an etcd that went back: %w", ctx.Err()))
		}
	}
}
