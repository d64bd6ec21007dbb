package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/controller/internal/lease"
	"github.com/homeostat/homeostat/pkg/store"
)

// lateClock has timers that have always fired already when they are stopped, with
// functions that have not run yet.
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

// newTestSharder returns the sharder of a process in a sharding of one bucket. The
// process holds lease 1 and joined at revision 2.
func newTestSharder(c clock.WithTickerAndDelayedExecution) (*sharder, *membership) {
	s := &sharder{
		options: Sharding{Buckets: 1, LeaseTime: time.Nanosecond}, keys: shardKeys{"/"}, clock: c, grace: time.Hour, log: logr.Discard(), watch: &lease.KeyWatch{},
		owned: map[int]*bucket{}, ownerless: map[int]time.Time{}, activated: map[int]bool{},
	}
	m := &membership{lease: &lease.Lease{ID: 1}, id: memberID(1)}
	m.term = newTerm(context.Background(), store.Fence{Key: s.keys.member(m.id), CreateRevision: 2, Lease: 1})
	return s, m
}

// viewAt returns the view at a revision: the members with the leases 1 and 2, and the
// bucket's key, created at revision 3 with the holder's lease.
func viewAt(revision, holder int64, s *sharder) lease.View {
	return lease.View{Revision: revision, Keys: map[string]*mvccpb.KeyValue{
		s.keys.member(memberID(1)): {CreateRevision: 2, Lease: 1},
		s.keys.member(memberID(2)): {CreateRevision: 1, Lease: 2},
		s.keys.bucket(0):           {CreateRevision: 3, Lease: holder},
	}}
}

func TestAnEtcdThatWentBackEndsTheMembership(t *testing.T) {
	s, m := newTestSharder(clock.RealClock{})
	for _, revision := range []int64{1, 4, 4, 9} {
		if err := s.step(t.Context(), m, viewAt(revision, 2, s)); err != nil || m.term.over() {
			t.Fatalf("at revision %d: %v, %v", revision, err, context.Cause(m.term.ctx))
		}
	}
	if err := s.step(t.Context(), m, viewAt(8, 2, s)); err != nil || !errors.Is(context.Cause(m.term.ctx), lease.ErrWentBack) {
		t.Errorf("after it went back: %v, %v", err, context.Cause(m.term.ctx))
	}
}

func TestABucketIsLostToAnotherLeasesKey(t *testing.T) {
	s, m := newTestSharder(clock.RealClock{})
	b := s.gain(m, 0, 3)
	s.compare(m, viewAt(3, 1, s))
	if b.term.over() {
		t.Fatal("lost, although the key is its own")
	}
	s.compare(m, viewAt(4, 2, s))
	if !b.term.over() || s.owned[0] != nil || s.status.Lost != 1 {
		t.Error("not lost, although the key belongs to another lease")
	}
}

func TestABucketWhoseKeyIsNoMembersIsOwnerless(t *testing.T) {
	c := clocktesting.NewFakeClock(time.Now())
	s, m := newTestSharder(c)
	s.compare(m, viewAt(3, 2, s))
	if st := s.report(); st.problem() != nil {
		t.Errorf("held by a member: %v", st.problem())
	}
	s.compare(m, viewAt(4, int64(clientv3.NoLease), s))
	c.Step(time.Second)
	if st := s.report(); st.problem() == nil {
		t.Error("held by a key that was put by hand: no problem reported")
	}
	s.compare(m, viewAt(5, 2, s))
	if st := s.report(); st.problem() != nil {
		t.Errorf("held by a member again: %v", st.problem())
	}
}

// TestABucketIsReleasedOnceItsGracePeriodIsOver lets a bucket come back to this process
// just when the grace period of its reconciles is over.
func TestABucketIsReleasedOnceItsGracePeriodIsOver(t *testing.T) {
	c := &lateClock{}
	s, m := newTestSharder(c)
	b := s.gain(m, 0, 3)
	s.drainOrKeep(b, false)
	s.drainOrKeep(b, true)
	c.due()
	if !b.draining {
		t.Error("it is kept, although its term is over: its keys would never be reconciled again")
	}
}

// TestPrefixesHaveKeysOfTheirOwn uses stores with prefixes that differ only in a slash.
func TestPrefixesHaveKeysOfTheirOwn(t *testing.T) {
	names := map[string]string{}
	for _, prefix := range []string{"/registry/", "registry/", "//registry/", "/registry/a/", "/"} {
		s, err := store.New(clientv3.NewCtxClient(t.Context()), store.Options{Scheme: scheme.Scheme, Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{leadershipKey(s, "a"), newShardKeys(s, "a").count()} {
			if other, taken := names[key]; taken {
				t.Errorf("the prefixes %q and %q share the key %s", other, prefix, key)
			}
			names[key] = prefix
		}
	}
	if names["/homeostat/leadership/registry/a"] != "/registry/" || names["/homeostat/sharding/registry/a/count"] != "/registry/" {
		t.Errorf("the keys of the default prefix have changed: %v", names)
	}
}

func TestSameOwner(t *testing.T) {
	ref := metav1.OwnerReference{APIVersion: "v1", Kind: "Site", Name: "a", UID: "1"}
	again := ref
	again.UID = "2" // it was deleted and created again
	if !sameOwner(nil, nil) || !sameOwner(&ref, &ref) {
		t.Error("an owner is not the same as itself")
	}
	if sameOwner(&ref, nil) || sameOwner(nil, &ref) || sameOwner(&ref, &again) {
		t.Error("different owners are the same")
	}
}
