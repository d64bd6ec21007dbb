package etcdtest

import (
	"context"
	"time"
)

// startBound bounds Start and Restart. A cluster takes a fraction of a second; only one that
// hangs takes this long.
const startBound = time.Minute

// TB is the part of testing.TB that this package needs. Ginkgo's GinkgoT() and GinkgoTB()
// satisfy it too.
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

// Run starts a cluster for a program. The cluster serves when Run returns. The context bounds
// the start only: the caller must call [Cluster.Close]. After an error nothing is left
// running.
//
// The error is the context's, or says that an address is taken (syscall.EADDRINUSE), or that
// the DataDir cannot be written, is used by another cluster, or holds a cluster with another
// number of members.
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
		// The error to report is the one of the start.
		_ = c.Close()
		return nil, err
	}
	return c, nil
}
