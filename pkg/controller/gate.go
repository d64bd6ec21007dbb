package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/homeostat/homeostat/pkg/informer"
)

const (
	// askTimeout bounds a question to etcd that a worker needs answered.
	askTimeout = 5 * time.Second
	// reviewInterval is how often keys that wait long are looked at.
	reviewInterval = 2 * time.Second
)

// gates keeps a key from being reconciled on a replica that has not reached
// what the key's last reconcile wrote. No key is ever reconciled on a state
// older than its own writes, and no worker waits for that.
type gates[R comparable] struct {
	replica *informer.Replica
	release func(key R, revision int64)

	mu     sync.Mutex
	needs  map[R]*need
	doubts map[R]struct{} // keys with a write whose outcome is unknown
}

func newGates[R comparable](replica *informer.Replica, release func(key R, revision int64)) *gates[R] {
	return &gates[R]{replica: replica, release: release, needs: map[R]*need{}, doubts: map[R]struct{}{}}
}

// need is what one key waits for.
type need struct {
	revision int64
	wanted   bool        // the key was to be reconciled meanwhile
	reviewed bool        // it was there at the last review
	stop     func() bool // ends the wait; nil until the wait has begun
}

// admit reports whether a key may be reconciled now. When it may not, it is
// enqueued again as soon as it may. The error says that this cannot be known,
// since etcd does not tell what became of the key's writes.
func (g *gates[R]) admit(ctx context.Context, key R) (bool, error) {
	if err := g.resolve(ctx, key); err != nil {
		return false, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.needs[key]
	if n == nil {
		return true, nil
	}
	n.wanted = n.revision > g.replica.Snapshot().Revision()
	return !n.wanted, nil
}

// held returns how many keys wait.
func (g *gates[R]) held() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, x := range g.needs {
		if x.wanted {
			n++
		}
	}
	return n
}

// doubt has a key wait for what etcd is at when the key is to be reconciled
// next: only that is sure to show a write whose outcome is unknown.
func (g *gates[R]) doubt(key R) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.doubts[key] = struct{}{}
}

func (g *gates[R]) resolve(ctx context.Context, key R) error {
	g.mu.Lock()
	_, doubtful := g.doubts[key]
	g.mu.Unlock()
	if !doubtful {
		return nil
	}
	now, err := g.ask(ctx)
	if err != nil {
		return fmt.Errorf("see what became of a write whose outcome is unknown: %w", err)
	}
	g.raise(key, now)
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.doubts, key)
	return nil
}

func (g *gates[R]) ask(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return g.replica.CurrentRevision(ctx)
}

// raise has a key wait for a revision. It is called by the key's worker alone.
func (g *gates[R]) raise(key R, revision int64) {
	if revision <= g.replica.Snapshot().Revision() {
		return
	}
	n := &need{revision: revision}
	g.mu.Lock()
	if old := g.needs[key]; old != nil {
		n.revision, n.wanted = max(revision, old.revision), old.wanted
		old.end()
	}
	g.needs[key] = n
	g.mu.Unlock()
	stop := g.replica.AfterRevision(n.revision, func() { g.satisfied(key, n) })
	g.mu.Lock()
	defer g.mu.Unlock()
	n.stop = stop
}

func (g *gates[R]) satisfied(key R, n *need) {
	g.mu.Lock()
	if g.needs[key] == n {
		delete(g.needs, key)
	}
	wanted := n.wanted
	g.mu.Unlock()
	if wanted {
		g.release(key, n.revision)
	}
}

func (n *need) end() {
	if n.stop != nil {
		n.stop()
	}
}

// stop ends all waits: no key is enqueued any more, unless that is under way.
func (g *gates[R]) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, n := range g.needs {
		n.wanted = false
		n.end()
		delete(g.needs, key)
	}
}

// watchOver reviews the gates until ctx is done.
func (g *gates[R]) watchOver(ctx context.Context, tick <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			g.review(ctx)
		}
	}
}

// review opens the gates that nothing else would: those of revisions that
// etcd has lost, because it was wiped or restored from a backup.
func (g *gates[R]) review(ctx context.Context) {
	overdue := g.overdue()
	if len(overdue) == 0 {
		return
	}
	now, err := g.ask(ctx)
	if err != nil {
		return // whatever is wrong, the replica reports it
	}
	for key, n := range overdue {
		if n.revision > now {
			g.giveUp(key, n)
		}
	}
}

// overdue returns the needs that the last review saw already.
func (g *gates[R]) overdue() map[R]*need {
	g.mu.Lock()
	defer g.mu.Unlock()
	overdue := map[R]*need{}
	for key, n := range g.needs {
		if n.reviewed {
			overdue[key] = n
		}
		n.reviewed = true
	}
	return overdue
}

func (g *gates[R]) giveUp(key R, n *need) {
	g.mu.Lock()
	n.end()
	g.mu.Unlock()
	g.satisfied(key, n)
}
