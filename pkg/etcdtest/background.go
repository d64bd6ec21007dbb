package etcdtest

import (
	"context"
	"sync"
)

// Background runs a function, such as the Run of a manager or a replica, until the test
// ends or stop is called. It then cancels the function's context and waits until the
// function has returned. It fails the test if the function returns an error.
//
// Background ends before anything that the test started earlier. Call it after Start, so
// that the cluster outlives the function. stop may be called more than once.
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
				t.Fatalf("etcdtest: the function in the background failed: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}
