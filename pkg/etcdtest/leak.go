package etcdtest

import (
	"time"

	"go.uber.org/goleak"
)

// leakBound is how long goroutines may take to end after a test. It is long
// because it is met only by those that never end.
const leakBound = 10 * time.Second

// VerifyNoLeaks fails the test at its end if goroutines that were started
// since are still running then. Call it first in a test, before Start: what is
// cleaned up later is checked earlier. In Ginkgo, call it in a BeforeEach with
// GinkgoT().
//
// The goroutines of clusters do not count, so a cluster may be shared by many
// tests; that they end is up to its Close. Two limits follow. While a cluster
// outlives the test, the other goroutines are only counted, by the function
// that they run. And a lease kept alive through the shared Client looks like
// a leak, since the client keeps goroutines for it until it is closed: keep
// leases alive through a client of the test's own.
//
// Tests that run in parallel take each other's goroutines for leaks.
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

// takeSettledCensus waits until every goroutine has begun, since one that has
// not would look like another one later.
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
