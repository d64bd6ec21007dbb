package controller

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/controller/internal/lease"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/internal/retry"
	"github.com/homeostat/homeostat/pkg/store"
)

// shards is this process's part in a sharding. A membership is a lease, with a key
// that tells the others of it. Which bucket should be whose follows from the
// members alone, so that all processes come to the same end without a word to
// each other. Which is whose, tells the bucket's key: attached to the owner's
// lease, created only where there is none, deleted when the last reconcile under
// it has ended.
type shards struct {
	options Sharding
	keys    shardKeys
	client  *clientv3.Client
	clock   clock.WithTickerAndDelayedExecution
	log     logr.Logger
	replica *informer.Replica
	grace   time.Duration
	watch   *lease.KeyWatch
	kinds   sync.Map      // schema.GroupKind -> *shardedKind
	wake    chan struct{} // there may be something to do

	mu        sync.Mutex
	owned     map[int]*bucket
	ownerless map[int]time.Time // since when, as far as was seen
	gainers   []*gainer
	waiting   []*bucket      // until the replica has what was written before
	fresh     map[int]bool   // buckets whose keys the gainers are to enqueue
	status    ShardingStatus // without what can be counted
}

// bucket is one that this process owns, from when it created its key until it
// has seen that the key is gone.
type bucket struct {
	number  int
	term    *term
	ready   bool  // the replica has what the owners before wrote
	leaving bool  // no reconcile begins any more
	running int   // reconciles
	gone    int64 // the revision that deleted the key, when this process did
	expiry  clock.Timer
}

func newShards(s *store.Store, r *informer.Replica, o Sharding, grace time.Duration, c clock.WithTickerAndDelayedExecution, log logr.Logger) *shards {
	keys := newShardKeys(s, o.Name)
	return &shards{
		options: o, keys: keys, client: s.Client(), clock: c, replica: r, grace: grace,
		log:   log.WithValues("sharding", o.Name, "identity", o.Identity),
		watch: lease.NewKeyWatch(s.Client(), c, store.PrefixRange(keys.prefix)),
		wake:  make(chan struct{}, 1),
		owned: map[int]*bucket{}, ownerless: map[int]time.Time{}, fresh: map[int]bool{},
		status: ShardingStatus{Name: o.Name, Identity: o.Identity, Buckets: o.Buckets},
	}
}

// run takes part in the sharding while serve runs, which is to return when ctx
// is done and no reconcile is under way any more.
func (s *shards) run(ctx context.Context, serve func(context.Context) error) error {
	var running sync.WaitGroup
	defer running.Wait()
	partCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	running.Go(func() { s.watch.Run(partCtx) })
	running.Go(func() { s.takePart(partCtx) })
	defer s.followRoots()()
	return serve(ctx)
}

// takePart joins, and joins again when the membership is lost, until ctx is done.
func (s *shards) takePart(ctx context.Context) {
	backoff := lease.NewBackoff(s.clock)
	for ctx.Err() == nil {
		m, err := s.join(ctx)
		switch {
		case err == nil:
			backoff.Reset()
			s.belong(ctx, m)
		case ctx.Err() == nil:
			s.failed(err)
			_ = backoff.Wait(ctx)
		}
	}
}

// membership is a time during which this process has a lease and a member's key.
type membership struct {
	lease *lease.Lease
	id    string
	term  *term // of the member's key
	seen  int64 // the revision of the last view that was acted on
}

// memberID names a membership by its lease, as the keys of its buckets do.
func memberID(l clientv3.LeaseID) string { return fmt.Sprintf("%016x", int64(l)) }

// join creates the member's key, under the condition that all others have the
// same number of buckets.
func (s *shards) join(ctx context.Context) (*membership, error) {
	l, err := lease.Grant(ctx, s.client, s.clock, s.options.LeaseTime)
	if err != nil {
		return nil, fmt.Errorf("join sharding %s: %w", s.keys.prefix, err)
	}
	m := &membership{lease: l, id: memberID(l.ID)}
	joined, err := s.createMember(ctx, m)
	if err != nil {
		if left := l.Revoke(ctx); left != nil {
			s.log.V(1).Info("lease left to run out", "cause", left.Error())
		}
		return nil, fmt.Errorf("join sharding %s: %w", s.keys.prefix, err)
	}
	m.term = newTerm(ctx, store.Fence{Key: s.keys.member(m.id), CreateRevision: joined, Lease: l.ID})
	return m, nil
}

// joinAttempts is how often a process asks to be a member by one lease.
const joinAttempts = 4

// createMember returns the revision that created the member's key. It asks again
// after an error, whose outcome is unknown: a member that came and went would have
// buckets moved for nothing.
func (s *shards) createMember(ctx context.Context, m *membership) (created int64, err error) {
	ctx, cancel := retry.WithTimeout(ctx, s.clock, min(lease.RequestTimeout, m.lease.TTL))
	defer cancel()
	backoff := lease.NewBackoff(s.clock)
	for range joinAttempts {
		created, err = s.putMember(ctx, m)
		if err == nil || errors.Is(err, errBuckets) || ctx.Err() != nil {
			break
		}
		_ = backoff.Wait(ctx)
	}
	return created, err
}

var errBuckets = errors.New("stop all its processes before you change that")

// putMember puts the member's key if the number of buckets is right. Where it is
// not, it sees to that first.
func (s *shards) putMember(ctx context.Context, m *membership) (int64, error) {
	count, member := strconv.Itoa(s.options.Buckets), s.keys.member(m.id)
	resp, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.Value(s.keys.count()), "=", count)).
		Then(clientv3.OpPut(member, s.options.Identity, clientv3.WithLease(m.lease.ID)), clientv3.OpGet(member)).
		Else(clientv3.OpGet(s.keys.count())).Commit()
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

// setCount sets the number of buckets, which is the first's to do, and may change
// while there is nobody.
func (s *shards) setCount(ctx context.Context, count string, found []*mvccpb.KeyValue) error {
	set, revision := "", int64(0)
	if len(found) > 0 {
		set, revision = string(found[0].Value), found[0].ModRevision
	}
	resp, err := s.client.Txn(ctx).If(
		clientv3.Compare(clientv3.ModRevision(s.keys.count()), "=", revision),
		clientv3.Compare(clientv3.CreateRevision(s.keys.members()), "=", 0).WithPrefix(),
		clientv3.Compare(clientv3.CreateRevision(s.keys.buckets()), "=", 0).WithPrefix(),
	).Then(clientv3.OpPut(s.keys.count(), count)).Commit()
	switch {
	case err != nil || resp.Succeeded:
		return err
	case set == "": // another process may have been faster
		return fmt.Errorf("key %s is missing, and there are processes: stop them all", s.keys.count())
	}
	return fmt.Errorf("it has %s buckets, this process wants %s: %w", set, count, errBuckets)
}

// belong takes and hands over buckets for as long as the membership lasts.
func (s *shards) belong(ctx context.Context, m *membership) {
	var guards sync.WaitGroup
	guarding, stopGuards := context.WithCancel(context.WithoutCancel(ctx))
	guards.Go(func() {
		if err := m.lease.Keep(guarding); err != nil {
			m.term.end(err)
		}
	})
	s.log.V(1).Info("joined", "member", m.id)
	s.act(ctx, m)
	lost := m.term.lost()
	m.term.end(errTermOver)
	s.dropAll(context.Cause(m.term.ctx), lost)
	stopGuards()
	guards.Wait()
	if err := m.lease.Revoke(ctx); err != nil {
		s.log.Info("membership ended, but its lease has to run out before others take its buckets", "cause", err.Error())
	}
}

// act steps whenever there may be something to do, until the membership is lost or
// ctx is done.
func (s *shards) act(ctx context.Context, m *membership) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(m.term.ctx, stop)()
	backoff := lease.NewBackoff(s.clock)
	for ctx.Err() == nil {
		view, changed := s.watch.Latest()
		if err := s.step(ctx, m, view); err != nil {
			if ctx.Err() == nil {
				s.failed(err)
			}
			_ = backoff.Wait(ctx)
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

// dropAll ends what was owned under a membership that is over.
func (s *shards) dropAll(cause error, lost bool) {
	if lost {
		s.log.Info("membership lost: joining again", "cause", cause.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.owned {
		s.forget(b, cause, lost)
	}
}

// forget is called with the lock.
func (s *shards) forget(b *bucket, cause error, lost bool) {
	if lost && b.gone == 0 {
		s.status.Lost++
		s.status.LastLoss = cause
	}
	if b.expiry != nil {
		b.expiry.Stop()
	}
	b.leaving = true
	b.term.end(cause)
	delete(s.owned, b.number)
}

func (s *shards) failed(err error) {
	s.mu.Lock()
	fresh := !sameError(s.status.Err, err)
	s.status.Err = err
	s.mu.Unlock()
	if fresh {
		s.log.Info("cannot take part in the sharding; trying on", "cause", err.Error())
	}
}

func (s *shards) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// bucketIn returns the number in a bucket's key.
func (k shardKeys) bucketIn(key string) (int, bool) {
	rest, ok := strings.CutPrefix(key, k.buckets())
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(rest)
	return n, err == nil && k.bucket(n) == key
}
