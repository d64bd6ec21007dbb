package etcdtest

import (
	"context"
	"sync"
)

// Background runs a function, such as the Run of a manager or of a replica,
// until the test ends, or until stop is called: then its context is done, and
// it is waited for. It fails the test if the function returns an error.
//
// It ends before what was started before it does: call it after Start, so that
// the cluster outlives it. stop may be called more than once.
func Background(t TB, run func(ctx context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	var once sync.Once
	stop = func() {
		t.Helper()
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Fatalf("etcdtest: what ran in the background failed: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}
