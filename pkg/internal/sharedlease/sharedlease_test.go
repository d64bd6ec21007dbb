package sharedlease

import (
	"context"
	"errors"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	clocktesting "k8s.io/utils/clock/testing"
)

// grants counts leases.
type grants struct {
	clientv3.Lease
	ttls []int64
	err  error
}

func (g *grants) Grant(_ context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error) {
	if g.err != nil {
		return nil, g.err
	}
	g.ttls = append(g.ttls, ttl)
	return &clientv3.LeaseGrantResponse{ID: clientv3.LeaseID(len(g.ttls))}, nil
}

func clientOf(t *testing.T, g *grants) *clientv3.Client {
	client := clientv3.NewCtxClient(t.Context())
	client.Lease = g
	return client
}

func TestLeases(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
	client := &grants{}
	l := New(clientOf(t, client), clock)
	expect := func(name string, ttl time.Duration, keys int, want clientv3.LeaseID) {
		t.Helper()
		if id, err := l.For(t.Context(), ttl, keys); err != nil || id != want {
			t.Errorf("%s: lease %d, %v, want %d", name, id, err, want)
		}
	}
	expect("the first", time.Minute, 1, 1)
	expect("soon after", time.Minute, 10, 1)
	expect("another time to live", time.Hour, 1, 2)
	clock.Step(6*time.Second - 1)
	expect("at the end of the window", time.Minute, 1, 1)
	clock.Step(1)
	expect("after the window", time.Minute, 1, 3)
	expect("as many keys as a lease may have", time.Minute, maxKeys-1, 3)
	expect("one more", time.Minute, 1, 4)
	expect("more than a lease may have, at once", time.Second, 5000, 5)
	l.Forget()
	expect("after Forget", time.Minute, 1, 6)
	if want := []int64{60 + 6 + 5, 3600 + 360 + 5}; client.ttls[0] != want[0] || client.ttls[1] != want[1] {
		t.Errorf("granted %v, want to begin with %v", client.ttls, want)
	}
	clock.Step(time.Hour)
	expect("much later", time.Second, 1, 7)
	if len(l.byTTL) != 1 {
		t.Errorf("old leases are kept: %v", l.byTTL)
	}
}

func TestFailedGrant(t *testing.T) {
	client := &grants{err: errors.New("no leader")}
	l := New(clientOf(t, client), clocktesting.NewFakeClock(time.Unix(1_000_000, 0)))
	if _, err := l.For(t.Context(), time.Minute, 1); !errors.Is(err, client.err) {
		t.Error(err)
	}
	client.err = nil
	if id, err := l.For(t.Context(), time.Minute, 1); err != nil || id != 1 {
		t.Errorf("after a failure: %d, %v", id, err)
	}
	<-l.turn // somebody else waits for etcd
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.For(ctx, time.Minute, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestFewLeasesForManyTimes(t *testing.T) {
	client := &grants{}
	l := New(clientOf(t, client), clocktesting.NewFakeClock(time.Unix(1_000_000, 0)))
	for i := range 20_000 {
		ttl := 3*time.Hour - time.Duration(i)*500*time.Millisecond - 1
		id, err := l.For(t.Context(), ttl, 1)
		if err != nil {
			t.Fatal(err)
		}
		granted := time.Duration(client.ttls[id-1]) * time.Second
		if granted < ttl+grace || granted > ttl+max(ttl/6, 2*time.Second)+grace+time.Second {
			t.Fatalf("a key that is to live for %s has a lease of %s", ttl, granted)
		}
	}
	if len(client.ttls) > 250 {
		t.Errorf("%d leases for 20,000 keys", len(client.ttls))
	}
	for _, ttl := range []time.Duration{MinTTL, MaxTTL} {
		if _, err := l.For(t.Context(), ttl, 1); err != nil {
			t.Errorf("%s: %v", ttl, err)
		}
	}
}
