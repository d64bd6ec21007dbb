package etcdtest

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// pause is long enough for any request on this machine that is not delayed.
const pause = 200 * time.Millisecond

func startLinked(t *testing.T, o Options) (*Cluster, *Link, *clientv3.Client) {
	t.Helper()
	c := Start(t, o)
	link, err := c.Member(0).NewLink()
	must(t, err)
	return c, link, newClient(t, c, link.Endpoint())
}

func TestLink(t *testing.T) {
	for _, addr := range []string{Unix, "127.0.0.1:0", "0.0.0.0:0"} {
		VerifyNoLeaks(t)
		c, link, far := startLinked(t, Options{ClientAddr: addr})
		put(t, far, "a", "1")
		if got := get(t, c.Client(), "a"); got != "1" {
			t.Errorf("the member got %q", got)
		}
		must(t, link.Close())
		must(t, link.Close())
		mustNotRead(t, far)
		put(t, c.Client(), "a", "2")
	}
}

func TestLinkCut(t *testing.T) {
	VerifyNoLeaks(t)
	c, link, far := startLinked(t, Options{})
	put(t, far, "a", "1")

	link.Cut()
	mustNotRead(t, far)
	put(t, c.Client(), "a", "2")

	link.Heal()
	if got := get(t, far, "a"); got != "2" {
		t.Errorf("after Heal the client reads %q", got)
	}
}

// Bytes that were on their way when the link froze arrive when it is healed, over the
// same connection.
func TestLinkFreeze(t *testing.T) {
	VerifyNoLeaks(t)
	c, link, far := startLinked(t, Options{})
	ctx := bounded(t)
	watch := far.Watch(ctx, "a", clientv3.WithCreatedNotify())
	<-watch

	link.Freeze()
	link.Freeze()
	put(t, c.Client(), "a", "1")
	mustNotRead(t, far)
	select {
	case r := <-watch:
		t.Fatalf("a frozen watch got %v, %v", r.Events, r.Err())
	case <-time.After(pause):
	}

	link.Heal()
	r := <-watch
	must(t, r.Err())
	if len(r.Events) != 1 || string(r.Events[0].Kv.Value) != "1" {
		t.Errorf("after Heal the watch got %v", r.Events)
	}
}

// A connection made while the link is frozen is accepted, and works later.
func TestLinkFrozenFromTheStart(t *testing.T) {
	VerifyNoLeaks(t)
	_, link, far := startLinked(t, Options{})
	link.Freeze()
	mustNotRead(t, far)
	link.Heal()
	put(t, far, "a", "1")
}

func TestLinkStates(t *testing.T) {
	VerifyNoLeaks(t)
	_, link, far := startLinked(t, Options{})
	for _, disturb := range [][]func(){
		{link.Cut, link.Freeze},
		{link.Freeze, link.Cut},
		{link.Freeze, link.Heal, link.Freeze, link.Cut, link.Cut},
	} {
		put(t, far, "a", "1")
		for _, f := range disturb {
			f()
		}
		mustNotRead(t, far)
		link.Heal()
		link.Heal()
		put(t, far, "a", "2")
	}
}

// A link leads to its member again after a restart of the member.
func TestLinkOverRestart(t *testing.T) {
	VerifyNoLeaks(t)
	c, _, far := startLinked(t, Options{})
	put(t, far, "a", "1")
	must(t, c.Member(0).Stop())
	mustNotRead(t, far)
	must(t, c.Member(0).Restart(bounded(t)))
	if got := get(t, far, "a"); got != "1" {
		t.Errorf("after the restart the client reads %q", got)
	}
}

// Close must return even if a link is frozen.
func TestCloseFrozen(t *testing.T) {
	VerifyNoLeaks(t)
	c, link, far := startLinked(t, Options{})
	ctx, cancel := context.WithCancel(bounded(t))
	defer cancel()
	<-far.Watch(ctx, "a", clientv3.WithCreatedNotify())
	link.Freeze()
	must(t, c.Close())
}
