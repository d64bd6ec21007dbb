package etcdtest

import (
	"context"
	"errors"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestStopOneOfThree(t *testing.T) {
	for i := range 3 { // the leader is one of them
		VerifyNoLeaks(t)
		c := Start(t, Options{Members: 3})
		must(t, c.Member(i).Stop())
		leader(t, c)
		rest := newClient(t, c, c.Member((i+1)%3).Endpoint(), c.Member((i+2)%3).Endpoint())
		put(t, rest, "a", "1")

		must(t, c.Member(i).Restart(bounded(t)))
		if got := get(t, newClient(t, c, c.Member(i).Endpoint()), "a"); got != "1" {
			t.Errorf("member %d came back with %q", i, got)
		}
	}
}

// Without a majority no member can become ready: a restart must not wait for it.
func TestRestartAll(t *testing.T) {
	VerifyNoLeaks(t)
	c := Start(t, Options{Members: 3})
	put(t, c.Client(), "a", "1")
	for i := range 3 {
		must(t, c.Member(i).Stop())
	}
	for i := range 3 {
		must(t, c.Member(i).Restart(bounded(t)))
	}
	if got := get(t, c.Client(), "a"); got != "1" {
		t.Errorf("a is %q", got)
	}
}

// The watch of etcd's own client continues after a restart.
func TestWatchOverRestart(t *testing.T) {
	VerifyNoLeaks(t)
	c := Start(t, Options{})
	ctx := bounded(t)
	watch := c.Client().Watch(ctx, "a", clientv3.WithCreatedNotify())
	<-watch
	must(t, c.Member(0).Restart(ctx))
	put(t, newClient(t, c, c.Member(0).Endpoint()), "a", "1")
	for r := range watch {
		must(t, r.Err())
		if len(r.Events) > 0 {
			return
		}
	}
	t.Error("the watch ended")
}

// A restart that was given up must not prevent the next one.
func TestRestartGivenUp(t *testing.T) {
	VerifyNoLeaks(t)
	c := Start(t, Options{})
	put(t, c.Client(), "a", "1")
	for i := range 10 {
		ctx, cancel := context.WithTimeout(bounded(t), time.Duration(i)*time.Millisecond)
		err := c.Member(0).Restart(ctx)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the restart failed with %v", err)
		}
	}
	must(t, c.Member(0).Restart(bounded(t)))
	if got := get(t, c.Client(), "a"); got != "1" {
		t.Errorf("a is %q", got)
	}
}
