package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/controller/internal/lease"
	"github.com/homeostat/homeostat/pkg/controller/internal/rendezvous"
	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/internal/retry"
	"github.com/homeostat/homeostat/pkg/store"
)

// bucketBatch is how many buckets change owners in one transaction: each is
// a transaction within it, and etcd limits the operations of both together.
const bucketBatch = 64

var errDrainTimeout = errors.New("the bucket is handed over, and the grace period is over")

// assignBuckets takes one step towards the right assignment whenever there may be
// something to do, until the membership is lost or ctx is done.
func (s *sharder) assignBuckets(ctx context.Context, m *membership) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(m.term.context(), stop)()
	backoff := lease.NewBackoff(s.clock)
	for ctx.Err() == nil {
		view, changed := s.watch.Latest()
		if err := s.step(ctx, m, view); err != nil {
			if ctx.Err() == nil {
				s.setErr(err)
			}
			_ = backoff.Wait(ctx) // the loop ends with ctx
			continue
		}
		backoff.Reset()
		select {
		case <-changed:
		case <-s.wake:
		case <-ctx.Done():
		}
	}
}

// step compares a view with what this process owns, and claims, activates and releases
// buckets accordingly.
func (s *sharder) step(ctx context.Context, m *membership, view lease.View) error {
	switch {
	case view.Revision < m.seen:
		// The buckets' keys that were seen may never have existed.
		m.term.end(lease.ErrWentBack)
		return nil
	case view.Revision < m.term.token():
		return nil // from before it joined
	case !isMember(m.id, view.Keys[s.keys.member(m.id)]):
		m.term.end(&store.FencedError{Fence: m.term.fence()})
		return nil
	}
	m.seen = view.Revision
	if err := s.claim(ctx, m, s.compare(m, view)); err != nil {
		return err
	}
	s.activate()
	if err := s.release(ctx); err != nil {
		return err
	}
	s.setErr(nil)
	return nil
}

// compare updates what this process owns from a view, and returns the buckets to claim.
func (s *sharder) compare(m *membership, view lease.View) (claims []int) {
	members, keys := s.parse(view)
	mine := make([]bool, s.options.Buckets) // not under the lock: it takes members times buckets steps
	for n := range mine {
		mine[n] = members.Owner(n) == m.id
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.options.Buckets {
		b := s.verify(m, n, keys[n], view.Revision)
		switch {
		case b != nil && b.releasedAt == 0:
			s.drainOrKeep(b, mine[n])
		case b == nil && keys[n] == nil && mine[n]:
			claims = append(claims, n)
		}
		if b != nil || members.Has(memberID(clientv3.LeaseID(keys[n].GetLease()))) {
			delete(s.ownerless, n)
		} else if _, known := s.ownerless[n]; !known {
			// A key that was put by hand, or that outlives its member, owns nothing.
			s.ownerless[n] = s.clock.Now()
		}
	}
	return claims
}

// parse returns the members of a view, and its buckets' keys by their numbers.
func (s *sharder) parse(view lease.View) (*rendezvous.Members, map[int]*mvccpb.KeyValue) {
	buckets := map[int]*mvccpb.KeyValue{}
	var ids []string
	for key, kv := range view.Keys {
		if id, ok := strings.CutPrefix(key, s.keys.members()); ok {
			if isMember(id, kv) {
				ids = append(ids, id)
			}
		} else if n, ok := s.keys.bucketIn(key); ok {
			buckets[n] = kv
		}
	}
	return rendezvous.NewMembers(slices.Values(ids)), buckets
}

// isMember reports whether a key is that of a member. One that was put by hand is not: it
// does not end with its process, which would own buckets for ever.
func isMember(id string, key *mvccpb.KeyValue) bool {
	return key != nil && memberID(clientv3.LeaseID(key.Lease)) == id
}

// verify compares what is known of a bucket with its key at a revision, nil if there
// is none. It returns the bucket if this process owns it, or nil. It is called with mu
// held.
func (s *sharder) verify(m *membership, n int, key *mvccpb.KeyValue, revision int64) *bucket {
	b := s.owned[n]
	own := key != nil && clientv3.LeaseID(key.Lease) == m.lease.ID
	switch {
	case b == nil && own:
		return s.gain(m, n, key.CreateRevision) // the answer to the claim got lost
	case b == nil || b.releasedAt > revision || b.term.token() > revision:
		return b // the view is older than what is known
	case !own || key.CreateRevision != b.term.token():
		s.forget(b, &store.FencedError{Fence: b.term.fence(), Found: key.GetCreateRevision()}, true)
		return nil
	}
	return b
}

// drainOrKeep drains a bucket that should belong to another process, and keeps one that
// drains but should be this process's after all. It is called with mu held.
func (s *sharder) drainOrKeep(b *bucket, mine bool) {
	switch {
	case !mine && !b.draining:
		b.draining = true
		t := b.term
		b.drainTimer = s.clock.AfterFunc(s.grace, func() { t.end(errDrainTimeout) })
	case mine && b.draining && !b.term.over() && b.drainTimer.Stop(): // otherwise it is released, and claimed again
		b.draining, b.ready = false, false // keys were turned away meanwhile
		s.activating = append(s.activating, b)
	}
}

// gain records a bucket whose key this process has created. It is called with mu held.
func (s *sharder) gain(m *membership, n int, created int64) *bucket {
	b := &bucket{number: n, term: m.term.within(store.Fence{Key: s.keys.bucket(n), CreateRevision: created, Lease: m.lease.ID})}
	s.owned[n] = b
	s.status.Gained++
	s.activating = append(s.activating, b)
	return b
}

// activate makes buckets ready when the replica has what their previous owners wrote,
// all of which is older than this process's ownership. It then enqueues the keys of
// the buckets that are ready.
func (s *sharder) activate() {
	s.mu.Lock()
	activating, activated, subscribers := s.activating, s.activated, slices.Clone(s.subscribers)
	s.activating, s.activated = nil, map[int]bool{}
	s.mu.Unlock()
	var revision int64
	for _, b := range activating {
		revision = max(revision, b.term.token())
	}
	if len(activating) > 0 {
		s.replica.AfterRevision(revision, func() { s.setReady(activating) })
	}
	for _, sub := range subscribers {
		sub.enqueueBuckets(activated)
	}
}

func (s *sharder) setReady(buckets []*bucket) {
	s.mu.Lock()
	for _, b := range buckets {
		if !b.draining {
			b.ready, s.activated[b.number] = true, true
		}
	}
	s.mu.Unlock()
	s.wakeUp()
}

// claim creates the keys of buckets that have none.
func (s *sharder) claim(ctx context.Context, m *membership, claims []int) error {
	for batch := range slices.Chunk(claims, bucketBatch) {
		var ops []clientv3.Op
		for _, n := range batch {
			key := s.keys.bucket(n)
			ops = append(ops, clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), "=", 0)},
				[]clientv3.Op{clientv3.OpPut(key, s.options.Identity, clientv3.WithLease(m.lease.ID))}, nil))
		}
		resp, err := s.commit(ctx, ops)
		if err != nil {
			return fmt.Errorf("claim buckets of %s: %w", s.keys.prefix, err)
		}
		s.mu.Lock()
		for i, n := range batch {
			if resp.Responses[i].GetResponseTxn().Succeeded && s.owned[n] == nil {
				s.gain(m, n, resp.Header.Revision)
				delete(s.ownerless, n)
			}
		}
		s.mu.Unlock()
	}
	return nil
}

// release deletes the keys of buckets that have drained.
func (s *sharder) release(ctx context.Context) error {
	for batch := range slices.Chunk(s.drained(), bucketBatch) {
		var ops []clientv3.Op
		for _, b := range batch {
			f := b.term.fence()
			ops = append(ops, clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(f.Key), "=", f.CreateRevision)},
				[]clientv3.Op{clientv3.OpDelete(f.Key)}, nil))
		}
		resp, err := s.commit(ctx, ops)
		if err != nil {
			return fmt.Errorf("hand over buckets of %s: %w", s.keys.prefix, err)
		}
		s.mu.Lock()
		for _, b := range batch {
			b.releasedAt = resp.Header.Revision
			b.term.end(errTermOver)
			s.status.Released++
		}
		s.mu.Unlock()
	}
	return nil
}

func (s *sharder) drained() (buckets []*bucket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.owned {
		if b.draining && b.running == 0 && b.releasedAt == 0 {
			buckets = append(buckets, b)
		}
	}
	return buckets
}

func (s *sharder) commit(ctx context.Context, ops []clientv3.Op) (*clientv3.TxnResponse, error) {
	ctx, cancel := retry.WithTimeout(ctx, s.clock, lease.RequestTimeout)
	defer cancel()
	return etcd.Commit(ctx, s.client, nil, ops, nil)
}

// forgetAll gives up all buckets of a membership that has ended.
func (s *sharder) forgetAll(cause error, lost bool) {
	if lost {
		s.log.Info("membership lost: joining again", "cause", cause.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.owned {
		s.forget(b, cause, lost)
	}
}

// forget ends the ownership of a bucket. It is called with mu held.
func (s *sharder) forget(b *bucket, cause error, lost bool) {
	if lost && b.releasedAt == 0 {
		s.status.Lost++
		s.status.LastLoss = cause
	}
	if b.drainTimer != nil {
		b.drainTimer.Stop()
	}
	b.draining = true
	b.term.end(cause)
	delete(s.owned, b.number)
}
