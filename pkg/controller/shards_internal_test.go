package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/controller/internal/lease"
	"github.com/homeostat/homeostat/pkg/store"
)

// lateClock's timers have run out when somebody comes to stop them, but what they
// are to do has not been done yet.
type lateClock struct {
	clock.RealClock
	due func()
}

func (c *lateClock) AfterFunc(_ time.Duration, f func()) clock.Timer {
	c.due = f
	return lateTimer{c.NewTimer(time.Hour)}
}

type lateTimer struct{ clock.Timer }

func (t lateTimer) Stop() bool { t.Timer.Stop(); return false }

// newPart is the part of a process in a sharding of one bucket, which holds lease
// 1 and joined at revision 2.
func newPart(c clock.WithTickerAndDelayedExecution) (*shards, *membership) {
	s := &shards{
		options: Sharding{Buckets: 1, LeaseTime: time.Nanosecond}, keys: shardKeys{"/"}, clock: c, grace: time.Hour, log: logr.Discard(), watch: &lease.KeyWatch{},
		owned: map[int]*bucket{}, ownerless: map[int]time.Time{}, fresh: map[int]bool{},
	}
	m := &membership{lease: &lease.Lease{ID: 1}, id: memberID(1)}
	m.term = newTerm(context.Background(), store.Fence{Key: s.keys.member(m.id), CreateRevision: 2, Lease: 1})
	return s, m
}

// seenAt is what there is at a revision: the members with the leases 1 and 2, and
// the bucket's key, which another lease created at revision 3.
func seenAt(revision, holder int64, s *shards) lease.View {
	return lease.View{Revision: revision, Keys: map[string]*mvccpb.KeyValue{
		s.keys.member(memberID(1)): {CreateRevision: 2, Lease: 1},
		s.keys.member(memberID(2)): {CreateRevision: 1, Lease: 2},
		s.keys.bucket(0):           {CreateRevision: 3, Lease: holder},
	}}
}

func TestAnEtcdThatWentBackEndsTheMembership(t *testing.T) {
	s, m := newPart(clock.RealClock{})
	for _, revision := range []int64{1, 4, 4, 9} {
		if err := s.step(t.Context(), m, seenAt(revision, 2, s)); err != nil || m.term.lost() {
			t.Fatalf("at revision %d: %v, %v", revision, err, context.Cause(m.term.ctx))
		}
	}
	if err := s.step(t.Context(), m, seenAt(8, 2, s)); err != nil || !errors.Is(context.Cause(m.term.ctx), lease.ErrWentBack) {
		t.Errorf("after it went back: %v, %v", err, context.Cause(m.term.ctx))
	}
}

func TestABucketIsLostToAnotherLeasesKey(t *testing.T) {
	s, m := newPart(clock.RealClock{})
	b := s.own(m, 0, 3)
	s.compare(m, seenAt(3, 1, s))
	if b.term.lost() {
		t.Fatal("lost, and the key is its own")
	}
	s.compare(m, seenAt(4, 2, s))
	if !b.term.lost() || s.owned[0] != nil || s.status.Lost != 1 {
		t.Error("not lost, and the key is another's")
	}
}

func TestABucketIsNobodysWhoseKeyIsNoMembers(t *testing.T) {
	c := clocktesting.NewFakeClock(time.Now())
	s, m := newPart(c)
	s.compare(m, seenAt(3, 2, s))
	if st := s.report(); st.wrong() != nil {
		t.Errorf("held by a member: %v", st.wrong())
	}
	s.compare(m, seenAt(4, int64(clientv3.NoLease), s))
	c.Step(time.Second)
	if st := s.report(); st.wrong() == nil {
		t.Error("held by a key that was put by hand: all is well")
	}
	s.compare(m, seenAt(5, 2, s))
	if st := s.report(); st.wrong() != nil {
		t.Errorf("held by a member again: %v", st.wrong())
	}
}

// TestABucketWhoseTimeIsUpGoes has a bucket come back just as the time is up that
// its reconciles were given to end.
func TestABucketWhoseTimeIsUpGoes(t *testing.T) {
	c := &lateClock{}
	s, m := newPart(c)
	b := s.own(m, 0, 3)
	s.direct(b, false)
	s.direct(b, true)
	c.due()
	if !b.leaving {
		t.Error("it stays, and is never reconciled again")
	}
}
