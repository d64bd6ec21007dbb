package controller

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/controller/internal/lease"
	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/internal/retry"
	"github.com/homeostat/homeostat/pkg/store"
)

// sharder is this process's part in a sharding. A membership is a lease with a key that
// announces it to the other processes. The members alone decide which process should
// own which bucket, so that all processes agree without talking to each other. The
// bucket's key says which process owns it: the owner creates the key with its lease
// when no key exists, and deletes it when the last reconcile under it has ended.
//
// run owns four goroutines besides its caller's: the key watch, the one that
// participates, and during a membership one that keeps the lease alive and one that watches
// the lag of the replica. Only the one
// that participates writes to etcd and changes which buckets are owned.
type sharder struct {
	options Sharding
	keys    shardKeys
	client  *clientv3.Client
	clock   clock.WithTickerAndDelayedExecution
	log     logr.Logger
	replica *informer.Replica
	grace   time.Duration // of reconciles whose bucket drains
	watch   *lease.KeyWatch
	lag     lagGuard
	kinds   sync.Map      // schema.GroupKind -> *shardedKind
	wake    chan struct{} // buffered: there may be something to do

	// mu is held briefly. No other lock is taken under it, and no callback is called.
	mu          sync.Mutex
	owned       map[int]*bucket     // by number
	ownerless   map[int]time.Time   // when the bucket was first seen without an owner
	subscribers []*bucketSubscriber // one for each running controller
	activating  []*bucket           // until the replica has reached what the previous owners wrote
	activated   map[int]bool        // buckets whose keys the subscribers should enqueue
	status      ShardingStatus      // without what can be counted
}

// bucket is a bucket that this process owns, from when it created the bucket's key
// until it has seen that the key is gone. sharder.mu guards all but number and term.
type bucket struct {
	number     int
	term       *term
	ready      bool        // the replica has what the previous owners wrote
	draining   bool        // no reconcile begins any more
	running    int         // reconciles
	releasedAt int64       // the revision at which this process deleted the key, or 0
	drainTimer clock.Timer // ends the term after the grace period; nil unless it drains
}

func newSharder(s *store.Store, r *informer.Replica, of ManagerOptions) *sharder {
	o, c, log := *of.Sharding, of.Clock, of.Log
	keys := newShardKeys(s, o.Name)
	return &sharder{
		options: o, keys: keys, client: s.Client(), clock: c, replica: r, grace: of.GracePeriod,
		lag:   newLagGuard(r, of),
		log:   log.WithValues("sharding", o.Name, "identity", o.Identity),
		watch: lease.NewKeyWatch(s.Client(), c, etcd.PrefixRange(keys.prefix)),
		wake:  make(chan struct{}, 1),
		owned: map[int]*bucket{}, ownerless: map[int]time.Time{}, activated: map[int]bool{},
		status: ShardingStatus{Name: o.Name, Identity: o.Identity, Buckets: o.Buckets},
	}
}

// run takes part in the sharding while work runs. work must return when ctx is done
// and no reconcile is running any more.
func (s *sharder) run(ctx context.Context, work func(context.Context) error) error {
	var running sync.WaitGroup
	defer running.Wait()
	memberCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	running.Go(func() { s.watch.Run(memberCtx) })
	running.Go(func() { s.participate(memberCtx) })
	defer s.watchRootChanges()()
	return work(ctx)
}

// participate joins, and joins again when the membership is lost, until ctx is done.
func (s *sharder) participate(ctx context.Context) {
	backoff := lease.NewBackoff(s.clock)
	for ctx.Err() == nil {
		m, err := s.join(ctx)
		switch {
		case err == nil:
			backoff.Reset()
			s.holdMembership(ctx, m)
		case ctx.Err() == nil:
			s.setErr(err)
			_ = backoff.Wait(ctx) // the loop ends with ctx
		}
	}
}

// membership is the time during which this process has a lease and a member's key.
type membership struct {
	lease *lease.Lease
	id    string
	term  *term // of the member's key
	seen  int64 // the revision of the last view that was acted on
}

// memberID names a membership by its lease, to which its buckets' keys are attached.
func memberID(l clientv3.LeaseID) string { return fmt.Sprintf("%016x", int64(l)) }

// join creates the member's key, on the condition that all other members have the same
// number of buckets.
func (s *sharder) join(ctx context.Context) (*membership, error) {
	if err := s.lag.check(); err != nil {
		return nil, fmt.Errorf("join sharding %s: %w", s.keys.prefix, err)
	}
	l, err := lease.Grant(ctx, s.client, s.clock, s.options.LeaseTime)
	if err != nil {
		return nil, fmt.Errorf("join sharding %s: %w", s.keys.prefix, err)
	}
	m := &membership{lease: l, id: memberID(l.ID)}
	created, err := s.createMember(ctx, m)
	if err != nil {
		if revokeErr := l.Revoke(ctx); revokeErr != nil {
			s.log.V(1).Info("lease of a failed join left to expire", "cause", revokeErr.Error())
		}
		return nil, fmt.Errorf("join sharding %s: %w", s.keys.prefix, err)
	}
	m.term = newTerm(ctx, store.Fence{Key: s.keys.member(m.id), CreateRevision: created, Lease: l.ID})
	return m, nil
}

// joinAttempts is how often a process tries to join with one lease.
const joinAttempts = 4

// createMember returns the revision that created the member's key. It tries again with
// the same lease after an error, because the outcome is unknown then, and a member that
// came and went would move buckets for nothing.
func (s *sharder) createMember(ctx context.Context, m *membership) (created int64, err error) {
	ctx, cancel := retry.WithTimeout(ctx, s.clock, min(lease.RequestTimeout, m.lease.TTL))
	defer cancel()
	backoff := lease.NewBackoff(s.clock)
	for range joinAttempts {
		created, err = s.putMember(ctx, m)
		if err == nil || errors.Is(err, errBuckets) || backoff.Wait(ctx) != nil {
			break
		}
	}
	return created, err
}

var errBuckets = errors.New("stop all its processes before you change the number")

// putMember puts the member's key if the number of buckets is right. If it is not, and
// no process takes part in the sharding, putMember first sets the number.
func (s *sharder) putMember(ctx context.Context, m *membership) (int64, error) {
	count, member := strconv.Itoa(s.options.Buckets), s.keys.member(m.id)
	resp, err := etcd.Commit(ctx, s.client,
		[]clientv3.Cmp{clientv3.Compare(clientv3.Value(s.keys.count()), "=", count)},
		[]clientv3.Op{clientv3.OpPut(member, s.options.Identity, clientv3.WithLease(m.lease.ID)), clientv3.OpGet(member)},
		[]clientv3.Op{clientv3.OpGet(s.keys.count())})
	switch {
	case err != nil:
		return 0, err
	case resp.Succeeded: // perhaps not for the first time
		return resp.Responses[1].GetResponseRange().Kvs[0].CreateRevision, nil
	}
	if err := s.setCount(ctx, count, resp.Responses[0].GetResponseRange().Kvs); err != nil {
		return 0, err
	}
	return s.putMember(ctx, m)
}

// setCount sets the number of buckets, on the condition that no process takes part.
func (s *sharder) setCount(ctx context.Context, count string, found []*mvccpb.KeyValue) error {
	current, revision := "", int64(0)
	if len(found) > 0 {
		current, revision = string(found[0].Value), found[0].ModRevision
	}
	resp, err := etcd.Commit(ctx, s.client, []clientv3.Cmp{
		clientv3.Compare(clientv3.ModRevision(s.keys.count()), "=", revision),
		clientv3.Compare(clientv3.CreateRevision(s.keys.members()), "=", 0).WithPrefix(),
		clientv3.Compare(clientv3.CreateRevision(s.keys.buckets()), "=", 0).WithPrefix(),
	}, []clientv3.Op{clientv3.OpPut(s.keys.count(), count)}, nil)
	switch {
	case err != nil || resp.Succeeded:
		return err
	case current == "": // perhaps another process set it first
		return fmt.Errorf("key %s is missing, and there are processes: stop them all", s.keys.count())
	}
	return fmt.Errorf("it has %s buckets, this process wants %s: %w", current, count, errBuckets)
}

// holdMembership claims and releases buckets until the membership is lost or ctx is
// done, and then ends the membership.
func (s *sharder) holdMembership(ctx context.Context, m *membership) {
	var guards sync.WaitGroup
	guarding, stopGuards := context.WithCancel(context.WithoutCancel(ctx))
	guards.Go(func() {
		if err := m.lease.Keep(guarding); err != nil {
			m.term.end(err)
		}
	})
	guards.Go(func() { s.lag.guard(guarding, m.term) })
	s.log.V(1).Info("joined", "member", m.id)
	s.assignBuckets(ctx, m)
	lost := m.term.over()
	m.term.end(errTermOver)
	s.forgetAll(context.Cause(m.term.context()), lost)
	stopGuards()
	guards.Wait()
	if err := m.lease.Revoke(ctx); err != nil {
		s.log.Info("membership ended; its lease must expire before other processes take its buckets", "cause", err.Error())
	}
}

// setErr records why this process cannot take part, or nil. It logs a new reason.
func (s *sharder) setErr(err error) {
	s.mu.Lock()
	changed := !sameError(s.status.Err, err)
	s.status.Err = err
	s.mu.Unlock()
	if changed && err != nil {
		s.log.Info("cannot take part in the sharding; trying again", "cause", err.Error())
	}
}

// wakeUp makes the goroutine that participates look for something to do.
func (s *sharder) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
