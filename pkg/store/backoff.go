package store

import (
	"context"
	"math/rand/v2"
	"time"
)

// longestPause is what contention makes a write wait at most between attempts.
const longestPause = time.Second

// contention has writers of one object give way to each other. All that try at
// the same time cost etcd an attempt each, and one gets through. So each waits
// by chance, for up to twice as many turns after every failure, and a turn is
// as long as an attempt takes.
type contention struct {
	failed int
	began  time.Time
}

// attempt marks the beginning of an attempt.
func (c *contention) attempt() { c.began = time.Now() }

// wait follows an attempt that failed. It reports whether it did wait, so that
// what is known is old by now. It returns early when ctx is done, which the next
// attempt finds out.
func (c *contention) wait(ctx context.Context) bool {
	turn := time.Since(c.began)
	if c.failed++; c.failed == 1 {
		return false // most conflicts are over when they are found out
	}
	turns := time.Duration(1) << min(c.failed, 10)
	timer := time.NewTimer(rand.N(min(turns*turn, longestPause) + 1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return true
}
