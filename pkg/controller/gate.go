package controller

import (
	"context"
	"sync"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// gates keeps a key from being reconciled on a replica that has not reached
// what the key's last reconcile wrote. No key is ever reconciled on a state
// older than its own writes, and no worker waits for that.
type gates[R comparable] struct {
	replica *informer.Replica
	enqueue func(R)

	mu    sync.Mutex
	needs map[R]*need
}

// need is what one key waits for.
type need struct {
	revision int64
	wanted   bool // the key was to be reconciled meanwhile
}

// admit reports whether a key may be reconciled now. When it may not, it is
// enqueued again as soon as it may.
func (g *gates[R]) admit(key R) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.needs[key]
	if n == nil || n.revision <= g.replica.Snapshot().Revision() {
		return true
	}
	n.wanted = true
	return false
}

// raise has a key wait for a revision.
func (g *gates[R]) raise(key R, revision int64) {
	if revision <= g.replica.Snapshot().Revision() {
		return
	}
	n := &need{revision: revision}
	g.mu.Lock()
	if g.needs == nil {
		g.needs = map[R]*need{}
	}
	if old := g.needs[key]; old != nil {
		n.revision, n.wanted = max(revision, old.revision), old.wanted
	}
	g.needs[key] = n
	g.mu.Unlock()
	g.replica.AfterRevision(n.revision, func() { g.satisfied(key, n) })
}

func (g *gates[R]) satisfied(key R, n *need) {
	g.mu.Lock()
	if g.needs[key] == n {
		delete(g.needs, key)
	}
	wanted := n.wanted
	g.mu.Unlock()
	if wanted {
		g.enqueue(key)
	}
}

// writes notes down which revision a reconcile must see next.
type writes struct {
	replica *informer.Replica

	mu       sync.Mutex
	revision int64
	unknown  bool // a write's outcome is unknown
}

func (w *writes) observe(write store.Write) {
	if write.Client != w.replica.Store().Client() {
		return // revisions of another etcd mean nothing here
	}
	covered := false
	for _, key := range write.Keys {
		covered = covered || w.replica.Covers(key)
	}
	if !covered {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revision = max(w.revision, write.Revision)
	w.unknown = w.unknown || store.IsUnknownOutcome(write.Err)
}

// needed returns the revision that the next reconcile must see. After a write
// whose outcome is unknown that is what etcd is at now.
func (w *writes) needed(ctx context.Context) (int64, error) {
	w.mu.Lock()
	revision, unknown := w.revision, w.unknown
	w.mu.Unlock()
	if !unknown {
		return revision, nil
	}
	now, err := w.replica.Store().Revision(ctx)
	return max(revision, now), err
}
