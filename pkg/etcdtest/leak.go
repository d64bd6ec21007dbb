package etcdtest

import (
	"time"

	"go.uber.org/goleak"
)

// leakBound is how long goroutines may take to end after a test. It can be long, since only
// goroutines that never end take that long.
const leakBound = 10 * time.Second

// VerifyNoLeaks fails the test if goroutines that start after the call are still running
// when the test ends. Call it first in a test, before Start, because cleanups run in
// reverse order. In Ginkgo, call it in a BeforeEach with GinkgoT().
//
// It ignores the goroutines of clusters, so that tests may share a cluster; the
// cluster's Close waits for them. This has two limits. If a cluster outlives the test,
// VerifyNoLeaks only compares, for each function, the number of goroutines that run it.
// And a lease kept alive through the shared Client looks like a leak, since the client
// keeps goroutines for the lease until it is closed: use a client of the test's own for
// leases.
//
// Do not use it in tests that run in parallel: they take each other's goroutines for leaks.
func VerifyNoLeaks(t TB) {
	t.Helper()
	verifyNoLeaks(t, leakBound)
}

func verifyNoLeaks(t TB, bound time.Duration) {
	t.Helper()
	before, err := takeSettledCensus(bound)
	if err != nil {
		t.Fatalf("etcdtest: %v", err)
	}
	current := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		t.Helper()
		err := poll(bound, func() error { return leaks(before, current) })
		if err != nil {
			t.Fatalf("etcdtest: goroutines leaked: %v", err)
		}
	})
}

// takeSettledCensus waits until every goroutine has begun: a goroutine that has not begun
// is counted under another name later.
func takeSettledCensus(bound time.Duration) (c census, err error) {
	err = poll(bound, func() error {
		if c, err = takeCensus(); err != nil {
			return err
		}
		return counts{unstarted: c.others[unstarted]}.since(nil).err()
	})
	return c, err
}

func leaks(before census, current goleak.Option) error {
	now, err := takeCensus()
	if err != nil {
		return err
	}
	if len(now.etcd) > 0 {
		return now.others.since(before.others).err()
	}
	return goleak.Find(current)
}
