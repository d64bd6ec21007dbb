package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/homeostat/homeostat/pkg/internal/retry"
)

const (
	// askTimeout bounds one question to etcd.
	askTimeout = 5 * time.Second
	// reviewInterval is how often the queue looks at keys that wait long for a
	// revision.
	reviewInterval = 2 * time.Second
)

// gate keeps a key from being reconciled on a replica that has not reached a
// revision. The queue's mutex guards it.
type gate[R comparable, C any] struct {
	record   *record[R, C]
	node     node[gate[R, C]] // in Queue.gates
	revision int64
	since    time.Time
	wanted   bool        // the key has come up and waits
	reviewed bool        // the last review saw it
	stop     func() bool // ends the subscription; nil until that has begun
}

// Wrote says what the reconcile of a key wrote: the key's next reconcile waits until
// the replica has reached revision. After a write whose outcome is unknown, it also
// asks etcd for its revision, and waits for that. Call it between Begin and Finish.
func (q *Queue[R, C]) Wrote(key R, revision int64, unknownOutcome bool) {
	if unknownOutcome {
		q.mu.Lock()
		q.recordOf(key).unknownOutcome = true
		q.mu.Unlock()
	}
	q.await(key, revision)
}

// await closes the gate of a key until a revision is there. Only the key's worker
// calls it.
func (q *Queue[R, C]) await(key R, revision int64) {
	if revision <= q.config.Revision() {
		return
	}
	g := &gate[R, C]{revision: revision, since: q.config.Clock.Now()}
	g.node.of = g
	q.mu.Lock()
	if q.stopped {
		q.mu.Unlock()
		return
	}
	r := q.recordOf(key)
	if r.gate != nil {
		g.revision = max(revision, r.gate.revision)
	}
	stopOld := q.removeGate(r)
	g.record, r.gate = r, g
	q.gates.push(&g.node)
	q.mu.Unlock()
	stopOld()
	stop := q.config.AfterRevision(g.revision, func() { q.open(key, g) })
	q.mu.Lock()
	g.stop = stop
	over := r.gate != g // it was opened, or the queue was shut down
	q.mu.Unlock()
	if over {
		stop()
	}
}

// open opens a gate, and queues its key if that waits. It returns what ends the
// gate's subscription.
func (q *Queue[R, C]) open(key R, g *gate[R, C]) (stop func() bool) {
	now, cause := q.config.Clock.Now(), q.config.Released(g.revision)
	q.mu.Lock()
	r := q.records.get(key)
	if r == nil || r.gate != g {
		q.mu.Unlock()
		return unsubscribed // it was replaced
	}
	wanted := g.wanted
	stop = q.removeGate(r)
	if wanted {
		q.addCause(r, cause, Low, now)
	}
	q.forget(r)
	q.mu.Unlock()
	if wanted {
		q.ready(key)
	}
	return stop
}

// removeGate removes the gate of a record, if it has one. Call stop, which ends the
// gate's subscription, without the mutex.
func (q *Queue[R, C]) removeGate(r *record[R, C]) (stop func() bool) {
	g := r.gate
	if g == nil {
		return unsubscribed
	}
	if g.wanted {
		q.held--
	}
	q.gates.remove(&g.node)
	r.gate = nil
	if g.stop == nil {
		return unsubscribed // await is about to learn that the gate is gone
	}
	return g.stop
}

func unsubscribed() bool { return false }

// resolve closes the gate of a key after a write with an unknown outcome. It opens at
// etcd's current revision, which shows the write if it has happened.
func (q *Queue[R, C]) resolve(ctx context.Context, key R) error {
	q.mu.Lock()
	r := q.records.get(key)
	unknown := r != nil && r.unknownOutcome
	q.mu.Unlock()
	if !unknown {
		return nil
	}
	now, err := q.currentRevision(ctx)
	if err != nil {
		return fmt.Errorf("read etcd's revision after a write with an unknown outcome: %w", err)
	}
	q.await(key, now)
	q.mu.Lock()
	defer q.mu.Unlock()
	r.unknownOutcome = false
	q.forget(r)
	return nil
}

func (q *Queue[R, C]) currentRevision(ctx context.Context) (int64, error) {
	ctx, cancel := retry.WithTimeout(ctx, q.config.Clock, askTimeout)
	defer cancel()
	return q.config.CurrentRevision(ctx)
}

// runReviews opens gates that nothing else would, until ctx is done.
func (q *Queue[R, C]) runReviews(ctx context.Context) {
	ticker := q.config.Clock.NewTicker(reviewInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
			q.review(ctx)
		}
	}
}

// review opens the gates of revisions that etcd has lost, because it was wiped or
// restored from a backup.
func (q *Queue[R, C]) review(ctx context.Context) {
	overdue := q.overdue()
	if len(overdue) == 0 {
		return
	}
	now, err := q.currentRevision(ctx)
	if err != nil {
		return // the replica reports what is wrong
	}
	for _, g := range overdue {
		if g.revision <= now {
			continue // the replica will get there
		}
		q.open(g.record.key, g)()
	}
}

// overdue returns the gates that the last review saw already.
func (q *Queue[R, C]) overdue() (gates []*gate[R, C]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for n := q.gates.first; n != nil; n = n.next {
		if n.of.reviewed {
			gates = append(gates, n.of)
		}
		n.of.reviewed = true
	}
	return gates
}
