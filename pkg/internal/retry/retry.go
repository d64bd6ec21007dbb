// Package retry holds what the other packages need to wait: a sleep that obeys
// its context, a backoff, a timeout by an injected clock, and a broadcast.
//
// Everything takes its time from the clock it is given. Nothing starts a
// goroutine.
package retry

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
)

// Sleep waits until d has passed or ctx is done. It returns ctx.Err().
func Sleep(ctx context.Context, c clock.Clock, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	timer := c.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C():
		return nil
	}
}

// Jitter returns d and up to a tenth of it more, so that what began together drifts
// apart.
func Jitter(d time.Duration) time.Duration {
	return d + rand.N(max(0, min(d/10, math.MaxInt64-1-d))+1)
}

// WithTimeout is context.WithTimeout by a clock. After d the context is done, and
// its Err is context.DeadlineExceeded. By the system's clock it is
// context.WithTimeout itself. By any other, the context has no deadline of its own,
// since those who read a deadline compare it with the system's clock.
func WithTimeout(ctx context.Context, c clock.WithDelayedExecution, d time.Duration) (context.Context, context.CancelFunc) {
	return WithTimeoutCause(ctx, c, d, context.DeadlineExceeded)
}

// WithTimeoutCause is WithTimeout with the cause of the context when d has passed,
// see context.Cause.
func WithTimeoutCause(ctx context.Context, c clock.WithDelayedExecution, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	if c == (clock.RealClock{}) {
		return context.WithTimeoutCause(ctx, d, cause)
	}
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	t := &timedContext{Context: inner, cancel: cancel, done: make(chan struct{})}
	if ctx.Err() != nil {
		t.end(ctx.Err(), context.Cause(ctx))
	}
	stop := context.AfterFunc(ctx, func() { t.end(ctx.Err(), context.Cause(ctx)) })
	timer := c.AfterFunc(d, func() { t.end(context.DeadlineExceeded, cause) })
	return t, func() {
		stop()
		timer.Stop()
		t.end(context.Canceled, context.Canceled)
	}
}

// timedContext is a context whose Err says which of its parent, its timer and its
// CancelFunc has ended it. The inner context holds the values and the cause; its
// Err is always context.Canceled, and only end ends it.
type timedContext struct {
	context.Context
	cancel context.CancelCauseFunc // of the inner context
	done   chan struct{}

	mu  sync.Mutex
	err error // guarded by mu; nil until done is closed
}

func (t *timedContext) end(err, cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return
	}
	t.err = err
	t.cancel(cause)
	close(t.done)
}

func (t *timedContext) Done() <-chan struct{} { return t.done }

func (t *timedContext) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// AfterFunc lets contexts that are derived from this one follow it without a
// goroutine of their own, see context.AfterFunc.
func (t *timedContext) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(t.Context, f) }

// Backoff is the pause between the attempts of one operation. It doubles from
// First to Max, and each pause is longer by a random part of up to one half, so
// that clients that failed together do not return together. It belongs to one
// goroutine.
type Backoff struct {
	clock      clock.Clock
	first, max time.Duration
	steps      wait.Backoff
}

// NewBackoff returns a Backoff whose first pause is first and whose longest is
// max.
func NewBackoff(c clock.Clock, first, max time.Duration) *Backoff {
	b := &Backoff{clock: c, first: first, max: max}
	b.Reset()
	return b
}

// Reset makes the next pause the first again.
func (b *Backoff) Reset() {
	b.steps = wait.Backoff{Duration: b.first, Factor: 2, Jitter: 0.5, Steps: 1 << 30, Cap: b.max}
}

// Next returns the next pause, for callers that do something else while it
// lasts.
func (b *Backoff) Next() time.Duration { return b.steps.Step() }

// Wait sleeps for the next pause. It returns ctx.Err().
func (b *Backoff) Wait(ctx context.Context) error { return Sleep(ctx, b.clock, b.Next()) }

// Broadcast tells any number of goroutines that something has changed. The zero
// value is ready for use.
//
// To miss nothing, take the channel first, look at the state second, and wait
// on the channel last.
type Broadcast struct {
	mu sync.Mutex
	ch chan struct{} // nil until somebody waits
}

// Changed returns a channel that the next Notify closes.
func (b *Broadcast) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

// Notify wakes everyone who waits on a channel that Changed returned before.
func (b *Broadcast) Notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
