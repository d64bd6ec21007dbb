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
	"github.com/homeostat/homeostat/pkg/internal/retry"
	"github.com/homeostat/homeostat/pkg/store"
)

// shardBatch is how many buckets change hands in one transaction: each is a
// transaction within it, and etcd bounds the operations of both together.
const shardBatch = 64

var errDrained = errors.New("the bucket is handed over, and the grace period is over")

// step brings what this process owns nearer to what it should.
func (s *shards) step(ctx context.Context, m *membership, view lease.View) error {
	switch {
	case view.Revision < m.seen:
		// What was seen of buckets may never have been.
		m.term.end(lease.ErrWentBack)
		return nil
	case view.Revision < m.term.fence.CreateRevision:
		return nil // from before it joined
	case view.Keys[s.keys.member(m.id)] == nil:
		m.term.end(&store.FencedError{Fence: m.term.fence})
		return nil
	}
	m.seen = view.Revision
	claims := s.compare(m, view)
	if err := s.claim(ctx, m, claims); err != nil {
		return err
	}
	s.announce()
	if err := s.release(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Err = nil
	return nil
}

// compare takes in what a view tells of the buckets, and returns those to claim.
func (s *shards) compare(m *membership, view lease.View) (claims []int) {
	members, held := s.read(view)
	mine := make([]bool, s.options.Buckets) // not under the lock: it takes members times buckets steps
	for n := range mine {
		mine[n] = members.Owner(n) == m.id
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.options.Buckets {
		kv, b := held[n], s.owned[n]
		b = s.observe(m, n, b, kv, view.Revision)
		switch {
		case b != nil && b.gone == 0:
			s.direct(b, mine[n])
		case b == nil && kv == nil && mine[n]:
			claims = append(claims, n)
		}
		if b != nil || heldBy(members, kv) {
			delete(s.ownerless, n)
		} else if _, known := s.ownerless[n]; !known {
			s.ownerless[n] = s.clock.Now()
		}
	}
	return claims
}

// heldBy reports whether a bucket's key is that of a member: one that was put by
// hand, or outlives its member, is in the way of all.
func heldBy(members *rendezvous.Members, kv *mvccpb.KeyValue) bool {
	return members.Has(memberID(clientv3.LeaseID(kv.GetLease())))
}

// observe compares a bucket that this process owns, if it does, with the
// key that a view has of it, if it has. It is called with the lock.
func (s *shards) observe(m *membership, n int, b *bucket, kv *mvccpb.KeyValue, revision int64) *bucket {
	switch {
	case b == nil && kv != nil && clientv3.LeaseID(kv.Lease) == m.lease.ID:
		return s.own(m, n, kv.CreateRevision) // the answer to the claim got lost
	case b == nil, b.gone > revision, b.term.fence.CreateRevision > revision:
		return b
	case kv == nil || kv.CreateRevision != b.term.fence.CreateRevision || clientv3.LeaseID(kv.Lease) != m.lease.ID:
		s.forget(b, &store.FencedError{Fence: b.term.fence, Found: kv.GetCreateRevision()}, true)
		return nil
	}
	return b
}

// direct has an owned bucket handed over, or not any more. It is called with the
// lock.
func (s *shards) direct(b *bucket, mine bool) {
	switch {
	case !mine && !b.leaving:
		b.leaving = true
		t := b.term
		b.expiry = s.clock.AfterFunc(s.grace, func() { t.end(errDrained) })
	case mine && b.leaving && !b.term.lost() && b.expiry.Stop(): // otherwise it goes, and may come again
		b.leaving, b.ready = false, false // keys were turned away meanwhile
		s.prepare(b)
	}
}

// read returns what a view says of members and of buckets.
func (s *shards) read(view lease.View) (members *rendezvous.Members, held map[int]*mvccpb.KeyValue) {
	held = map[int]*mvccpb.KeyValue{}
	var ids []string
	for key, kv := range view.Keys {
		if id, ok := strings.CutPrefix(key, s.keys.members()); ok {
			ids = append(ids, id)
		} else if n, ok := s.keys.bucketIn(key); ok {
			held[n] = kv
		}
	}
	return rendezvous.NewMembers(slices.Values(ids)), held
}

// own takes note of a bucket whose key this process has created. It is called
// with the lock.
func (s *shards) own(m *membership, n int, created int64) *bucket {
	b := &bucket{number: n, term: m.term.within(store.Fence{Key: s.keys.bucket(n), CreateRevision: created, Lease: m.lease.ID})}
	s.owned[n] = b
	s.status.Gained++
	s.prepare(b)
	return b
}

// prepare has a bucket's keys reconciled when the replica has what the owners
// before wrote, all of which is older than this process's ownership. It is called
// with the lock.
func (s *shards) prepare(b *bucket) { s.waiting = append(s.waiting, b) }

// announce goes on with what prepare began.
func (s *shards) announce() {
	s.mu.Lock()
	waiting, fresh, gainers := s.waiting, s.fresh, slices.Clone(s.gainers)
	s.waiting, s.fresh = nil, map[int]bool{}
	s.mu.Unlock()
	var revision int64
	for _, b := range waiting {
		revision = max(revision, b.term.fence.CreateRevision)
	}
	if len(waiting) > 0 {
		s.replica.AfterRevision(revision, func() { s.reached(waiting) })
	}
	for _, g := range gainers {
		g.gain(fresh)
	}
}

func (s *shards) reached(buckets []*bucket) {
	s.mu.Lock()
	for _, b := range buckets {
		if !b.leaving {
			b.ready, s.fresh[b.number] = true, true
		}
	}
	s.mu.Unlock()
	s.poke()
}

// claim creates the keys of buckets that have none.
func (s *shards) claim(ctx context.Context, m *membership, claims []int) error {
	for batch := range slices.Chunk(claims, shardBatch) {
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
				s.own(m, n, resp.Header.Revision)
				delete(s.ownerless, n)
			}
		}
		s.mu.Unlock()
	}
	return nil
}

// release deletes the keys of buckets that are to be handed over and under which
// nothing runs any more.
func (s *shards) release(ctx context.Context) error {
	for batch := range slices.Chunk(s.drained(), shardBatch) {
		var ops []clientv3.Op
		for _, b := range batch {
			f := b.term.fence
			ops = append(ops, clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(f.Key), "=", f.CreateRevision)},
				[]clientv3.Op{clientv3.OpDelete(f.Key)}, nil))
		}
		resp, err := s.commit(ctx, ops)
		if err != nil {
			return fmt.Errorf("hand over buckets of %s: %w", s.keys.prefix, err)
		}
		s.mu.Lock()
		for _, b := range batch {
			b.gone = resp.Header.Revision
			b.term.end(errTermOver)
			s.status.Released++
		}
		s.mu.Unlock()
	}
	return nil
}

func (s *shards) drained() (buckets []*bucket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.owned {
		if b.leaving && b.running == 0 && b.gone == 0 {
			buckets = append(buckets, b)
		}
	}
	return buckets
}

func (s *shards) commit(ctx context.Context, ops []clientv3.Op) (*clientv3.TxnResponse, error) {
	ctx, cancel := retry.WithTimeout(ctx, s.clock, lease.RequestTimeout)
	defer cancel()
	return s.client.Txn(ctx).Then(ops...).Commit()
}
