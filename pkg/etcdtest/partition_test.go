package etcdtest

import (
	"context"
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestIsolate(t *testing.T) {
	for _, who := range []string{"follower", "leader"} {
		t.Run(who, func(t *testing.T) {
			VerifyNoLeaks(t)
			c := Start(t, Options{Members: 3})
			lone := leader(t, c)
			if who == "follower" {
				lone = (lone + 1) % 3
			}
			inside := newClient(t, c, c.Member(lone).Endpoint())
			outside := newClient(t, c, c.Member((lone+1)%3).Endpoint(), c.Member((lone+2)%3).Endpoint())
			watch := inside.Watch(clientv3.WithRequireLeader(bounded(t)), "a", clientv3.WithCreatedNotify())
			<-watch

			c.Isolate(lone)
			if leader(t, c) == lone {
				t.Error("the isolated member still leads the others")
			}
			put(t, outside, "a", "1")
			mustLoseLeader(t, watch)
			mustNotRead(t, inside)
			r, err := inside.Get(bounded(t), "a", clientv3.WithSerializable())
			must(t, err)
			if len(r.Kvs) != 0 {
				t.Error("the write reached the isolated member")
			}

			c.Heal()
			leader(t, c)
			if got := get(t, inside, "a"); got != "1" {
				t.Errorf("after Heal the member serves %q", got)
			}
			put(t, inside, "a", "2")
		})
	}
}

func mustLoseLeader(t *testing.T, watch clientv3.WatchChan) {
	t.Helper()
	for r := range watch {
		if len(r.Events) > 0 {
			t.Errorf("the isolated member's watch got %v", r.Events)
		}
		if err := r.Err(); err != nil {
			if !errors.Is(err, rpctypes.ErrNoLeader) {
				t.Errorf("the watch ended with %v", err)
			}
			return
		}
	}
	t.Error("the watch ended without an error")
}

// mustNotRead fails the test if a linearizable read succeeds.
func mustNotRead(t *testing.T, client *clientv3.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), pause)
	defer cancel()
	if _, err := client.Get(ctx, "a"); err == nil {
		t.Error("a read succeeded without a majority")
	}
}

func TestIsolationOutlivesRestart(t *testing.T) {
	VerifyNoLeaks(t)
	c := Start(t, Options{Members: 3})
	c.Isolate(2)
	must(t, c.Member(2).Restart(bounded(t)))
	must(t, c.Member(1).Restart(bounded(t)))
	leader(t, c)
	put(t, newClient(t, c, c.Member(0).Endpoint(), c.Member(1).Endpoint()), "a", "1")
	inside := newClient(t, c, c.Member(2).Endpoint())
	mustNotRead(t, inside)

	c.Heal()
	leader(t, c)
	if got := get(t, inside, "a"); got != "1" {
		t.Errorf("after Heal the member serves %q", got)
	}
}

// A lone member has no other member to be isolated from.
func TestIsolateLoneMember(t *testing.T) {
	VerifyNoLeaks(t)
	c := Start(t, Options{})
	c.Isolate(0)
	must(t, c.Member(0).Restart(bounded(t)))
	put(t, c.Client(), "a", "1")
	c.Heal()
}

func TestLeaderWithoutMajority(t *testing.T) {
	VerifyNoLeaks(t)
	c := Start(t, Options{Members: 3})
	c.Isolate(0)
	must(t, c.Member(1).Stop())
	if i, err := c.Leader(bounded(t)); err == nil {
		t.Errorf("member %d leads alone", i)
	}
	c.Heal()
	leader(t, c)
}
