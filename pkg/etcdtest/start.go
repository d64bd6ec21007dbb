package etcdtest

import (
	"context"
	"time"
)

// startBound is how long Start and Restart wait at most. A cluster takes
// a fraction of a second; a bound this long is met only by one that hangs.
const startBound = time.Minute

// TB is the part of testing.TB that this package needs. What Ginkgo's
// GinkgoT() returns satisfies it as well.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Start starts a cluster for a test, and closes it when the test ends. The cluster serves
// when Start returns. Start fails the test if the cluster cannot be started or closed.
//
// Use Start in tests, and [Run] in programs and examples.
func Start(t TB, o Options) *Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startBound)
	defer cancel()
	c, err := start(ctx, o, Unix)
	if err != nil {
		t.Fatalf("etcdtest: %v", err)
	}
	t.Cleanup(func() {
		t.Helper()
		if err := c.Close(); err != nil {
			t.Fatalf("etcdtest: close: %v", err)
		}
	})
	return c
}

// Run starts a cluster for a program, which is ready to serve when Run
// returns. The context bounds the start alone: the cluster runs until Close,
// which the caller owes. On error nothing is left running.
//
// Errors: the context's; an address that is taken (syscall.EADDRINUSE);
// a DataDir that cannot be written, is used by another cluster, or was made
// by a cluster with another number of members.
func Run(ctx context.Context, o Options) (*Cluster, error) {
	return start(ctx, o, "127.0.0.1:0")
}

func start(ctx context.Context, o Options, addr string) (*Cluster, error) {
	o, err := o.withDefaults(addr)
	if err != nil {
		return nil, err
	}
	c := &Cluster{}
	if err := c.open(ctx, o); err != nil {
		// The error that matters is the one that kept it from starting.
		_ = c.Close()
		return nil, err
	}
	return c, nil
}
