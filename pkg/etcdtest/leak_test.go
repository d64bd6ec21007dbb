package etcdtest

import (
	"strings"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var _ TB = ginkgo.FullGinkgoTInterface(nil)

// soon is the time limit of checks that should fail.
const soon = 50 * time.Millisecond

func TestLeakFound(t *testing.T) {
	for _, shared := range []bool{false, true} {
		VerifyNoLeaks(t)
		if shared {
			Start(t, Options{})
		}
		tb, stop := &fakeTB{}, make(chan struct{})
		tb.run(func() {
			verifyNoLeaks(tb, soon)
			go lingerUntil(stop)
		})
		close(stop)
		if !strings.Contains(tb.failed, "lingerUntil") {
			t.Errorf("shared %v: the test failed with %q", shared, tb.failed)
		}
	}
}

func lingerUntil(stop chan struct{}) { <-stop }

func TestLateEndIsNoLeak(t *testing.T) {
	for _, shared := range []bool{false, true} {
		VerifyNoLeaks(t)
		if shared {
			Start(t, Options{})
		}
		tb, stop := &fakeTB{}, make(chan struct{})
		tb.run(func() {
			VerifyNoLeaks(tb)
			go lingerUntil(stop)
			time.AfterFunc(soon, func() { close(stop) })
		})
		if tb.failed != "" {
			t.Errorf("shared %v: the test failed with %q", shared, tb.failed)
		}
	}
}

// The goroutines of a cluster and of its members are not leaks of the test.
func TestSharedCluster(t *testing.T) {
	VerifyNoLeaks(t)
	c := Start(t, Options{Members: 3})
	for i := range 3 {
		tb := &fakeTB{}
		tb.run(func() {
			VerifyNoLeaks(tb)
			client, err := c.NewClient(ClientOptions{})
			must(t, err)
			<-client.Watch(bounded(t), "a", clientv3.WithCreatedNotify())
			must(t, c.Member(i).Restart(bounded(t)))
			leader(t, c)
			put(t, client, "a", "1")
			must(t, client.Close())
		})
		if tb.failed != "" {
			t.Errorf("the test failed with %q", tb.failed)
		}
	}
}

func TestSharedClusterClientLeft(t *testing.T) {
	VerifyNoLeaks(t)
	c := Start(t, Options{})
	tb := &fakeTB{}
	tb.run(func() {
		verifyNoLeaks(tb, soon)
		put(t, newClient(t, c, c.Endpoints()...), "a", "1")
	})
	if tb.failed == "" {
		t.Error("a client left open was not noticed")
	}
}

// A goroutine that was created before the check but starts only later is not a new one.
func TestUnstartedGoroutineIsNoLeak(t *testing.T) {
	VerifyNoLeaks(t)
	Start(t, Options{})
	stop := make(chan struct{})
	defer close(stop)
	for range 20 {
		tb := &fakeTB{}
		tb.run(func() {
			go lingerUntil(stop)
			VerifyNoLeaks(tb)
		})
		if tb.failed != "" {
			t.Fatalf("the test failed with %q", tb.failed)
		}
	}
}
