package store

import (
	"context"
	"math/rand/v2"
	"time"

	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// maxPause bounds the pause between two attempts of a write under contention.
const maxPause = time.Second

// contention spreads out the attempts of writers that change the same object. Of
// attempts at the same time, one succeeds and each costs etcd a request. After each
// failure a writer therefore pauses for a random time, of up to twice as many turns
// as before. A turn is as long as the last attempt took.
type contention struct {
	failed int
	began  time.Time
}

// attempt marks the start of an attempt.
func (c *contention) attempt() { c.began = time.Now() }

// wait pauses after a failed attempt. It returns false after the first failure, for
// which it does not pause; otherwise, what the caller knows is outdated. It returns
// early if ctx is done, which the next attempt notices.
func (c *contention) wait(ctx context.Context) bool {
	turn := time.Since(c.began)
	if c.failed++; c.failed == 1 {
		return false // most conflicts are over by now
	}
	turns := time.Duration(1) << min(c.failed, 10)
	_ = retry.Sleep(ctx, clock.RealClock{}, rand.N(min(turns*turn, maxPause)+1))
	return true
}
