package store

import (
	"context"
	"math/rand/v2"
	"time"
)

// longestPause is what contention makes a write wait at most between attempts.
const longestPause = 512 * time.Millisecond

// backOff waits before another attempt, the longer the more attempts have
// failed, and by chance: writers that all try again at once let only one of
// them through at a time, at the cost of an attempt of each. It reports whether
// it did wait, so that what is known is old by now. It returns early when ctx is
// done, which the attempt itself finds out.
func backOff(ctx context.Context, failed int) bool {
	if failed < 2 {
		return false // most conflicts are over when they are found out
	}
	timer := time.NewTimer(rand.N(min(time.Millisecond<<min(failed, 10), longestPause)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return true
}
