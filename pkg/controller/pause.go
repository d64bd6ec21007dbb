package controller

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
)

// pause is what lies between the attempts to get something done by etcd.
type pause struct {
	clock   clock.Clock
	backoff wait.Backoff
}

func newPause(c clock.Clock) *pause {
	p := &pause{clock: c}
	p.reset()
	return p
}

// reset has the next wait be short again.
func (p *pause) reset() {
	p.backoff = wait.Backoff{Duration: firstPause, Factor: 2, Jitter: 0.5, Steps: 1 << 30, Cap: lastPause}
}

// wait waits, longer each time, or until ctx is done.
func (p *pause) wait(ctx context.Context) { sleep(ctx, p.clock, p.backoff.Step()) }

func sleep(ctx context.Context, c clock.Clock, d time.Duration) {
	timer := c.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
}

// withTimeout is context.WithTimeout by a clock.
func withTimeout(ctx context.Context, c clock.WithDelayedExecution, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := c.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return ctx, func() { timer.Stop(); cancel(context.Canceled) }
}
