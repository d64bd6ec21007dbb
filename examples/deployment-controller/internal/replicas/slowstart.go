package replicas

import "sync"

// InitialBatch is the size of the first batch of [SlowStart].
const InitialBatch = 1

// SlowStart calls fn count times, in batches of initial, twice that, four times
// that and so on, each batch at once in goroutines of its own. When a call
// fails it lets the batch finish and starts no other, so that a cause which
// fails every call (a quota, a full disk) meets a few calls and not all.
//
// It returns how many calls succeeded and the first error. All calls have
// returned when it returns.
func SlowStart(count, initial int, fn func() error) (int, error) {
	succeeded := 0
	for size := min(count, max(initial, 1)); size > 0; size = min(2*size, count-succeeded) {
		failed, err := batch(size, fn)
		succeeded += size - failed
		if err != nil {
			return succeeded, err
		}
	}
	return succeeded, nil
}

func batch(size int, fn func() error) (failed int, first error) {
	errs := make(chan error, size)
	var wg sync.WaitGroup
	for range size {
		wg.Go(func() {
			if err := fn(); err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	if failed = len(errs); failed > 0 {
		first = <-errs
	}
	return failed, first
}
