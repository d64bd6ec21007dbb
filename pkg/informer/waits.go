package informer

import (
	"context"
	"fmt"
	"sync"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// waits is who waits for which revision.
type revisionWaiters struct {
	mu      sync.Mutex // guards waiting
	waiting map[*waiter]struct{}
}

type waiter struct {
	revision int64
	f        func()
}

// reached calls who waits for a revision up to this one.
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

// furthest returns the highest revision that anybody waits for.
func (w *revisionWaiters) furthest() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var furthest int64
	for x := range w.waiting {
		furthest = max(furthest, x.revision)
	}
	return furthest
}

// AfterRevision calls f once the replica has reached a revision: at once, if it
// has already, otherwise from the replica's own goroutine, which f must not
// block. It also calls f when etcd was wiped or restored and listed anew, since
// a revision from before may then never come; before that is noticed, see
// [Replica.WaitForRevision]. Where the revision brings no event for the replica's
// kinds, it asks etcd how far it has come. stop keeps f from being called; it
// returns false when it was too late.
func (r *Replica) AfterRevision(revision int64, f func()) (stop func() bool) {
	x := &waiter{revision, f}
	r.waiters.mu.Lock()
	// Checked under the lock that reached takes after the snapshot is stored,
	// so that the revision cannot slip through in between.
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

// WaitForRevision waits until the replica has reached a revision, such as that
// of a write, or has listed anew an etcd that has lost it. The error is that of
// ctx, with what the replica suffers from.
//
// A revision is but a number: when etcd was wiped or restored, one that it has made
// since may be one that the replica reached before. It counts as reached until the
// replica has noticed, which takes it seconds at most. [Replica.FreshSnapshot], which asks
// etcd, is not deceived.
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

// FreshSnapshot returns a snapshot that is at least as new as etcd was when it was
// called: a linearizable read of the whole replica, for which etcd is asked only
// for its revision. The error is etcd's, or that of ctx with what the replica
// suffers from.
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

// CurrentRevision asks etcd for its current revision, with one linearizable read.
// It reads a key of one of the replica's kinds, since the etcd user may have no
// permission for the rest of the store's prefix. It is cheap: use it rather than
// Status to learn how far behind a replica is.
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

// waitForEra waits until the replica has listed an etcd that was seen to have gone
// back.
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
			return r.explainWait(fmt.Errorf("wait for the list of an etcd that went back: %w", ctx.Err()))
		}
	}
}
