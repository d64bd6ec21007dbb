package events

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// batchSize is how many Events are written in one transaction.
	batchSize = 32
	// patience is how long writing an Event is tried.
	patience = 5 * time.Minute
	// flushTime is how long Run may go on writing when it is to stop.
	flushTime = 5 * time.Second
	// firstPause and longestPause are between attempts that fail.
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
)

// Run writes what is recorded until ctx is done. Then it writes what waits, for
// at most 5 seconds, and returns nil when everything that it started has ended.
// Trouble with etcd does not end it.
//
// It may be called again when it has returned. Called while it runs, for r or
// for a recorder that shares with r, it returns an error at once.
func (r *Recorder) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return errors.New("events: the recorder runs already")
	}
	defer r.running.Store(false)
	w := &writer{Recorder: r, leases: newLeases(r.options)}
	for ctx.Err() == nil {
		switch wrote, idle, err := w.step(ctx); {
		case ctx.Err() != nil:
		case err != nil:
			w.suffer(err)
			w.sleep(ctx, nil, w.pause())
		case !wrote:
			w.sleep(ctx, r.wake, idle)
		}
	}
	w.flush(context.WithoutCancel(ctx))
	return nil
}

// writer is one run of a recorder. Run's goroutine owns it.
type writer struct {
	*Recorder
	leases *leases

	failures int       // in a row
	trouble  time.Time // when the first of them was
	saidAt   time.Time // when the log was last told of trouble
	said     bool      // whether it was told of this one
}

// step writes one batch. When there is none, it says how long to wait for one,
// as take does.
func (w *writer) step(ctx context.Context) (wrote bool, idle time.Duration, err error) {
	batch, idle := w.table.take(w.clock.Now(), batchSize)
	if len(batch) == 0 {
		return false, idle, nil
	}
	if err := w.write(ctx, batch); err != nil {
		w.table.failed(batch)
		return false, 0, err
	}
	w.table.done(w.clock.Now(), batch)
	w.succeed()
	return true, 0, nil
}

// suffer takes note of a failed attempt, and drops what has waited for too
// long. An Event that was recorded before the trouble began waits from then on.
func (w *writer) suffer(err error) {
	now := w.clock.Now()
	if w.failures++; w.failures == 1 {
		w.trouble = now
	}
	if w.saidAt.IsZero() || now.Sub(w.saidAt) >= sayInterval {
		w.saidAt, w.said = now, true
		w.log.Error(err, "events cannot be written, trying again", "endpoints", w.options.Client.Endpoints(),
			"prefix", w.keys, "failures", w.failures, "since", w.trouble)
	}
	if since := now.Add(-patience); !w.trouble.After(since) {
		w.drop(dropFailed, w.table.giveUp(since), err, "prefix", w.keys)
	}
}

// succeed takes note of success. The log learns that trouble is over if it knew
// of it.
func (w *writer) succeed() {
	if w.said {
		w.log.Info("events can be written again", "prefix", w.keys, "failures", w.failures, "since", w.trouble)
	}
	w.failures, w.said = 0, false
}

// pause is how long to wait after a failure: by chance, so that those who lost
// the same etcd do not all come back at once.
func (w *writer) pause() time.Duration {
	d := min(firstPause<<min(w.failures-1, 10), longestPause)
	return d/2 + rand.N(d/2)
}

// sleep waits until ctx is done, something arrives, or a time has passed,
// unless it is 0.
func (w *writer) sleep(ctx context.Context, arrival <-chan struct{}, d time.Duration) {
	var passed <-chan time.Time
	if d > 0 {
		timer := w.clock.NewTimer(d)
		defer timer.Stop()
		passed = timer.C()
	}
	select {
	case <-ctx.Done():
	case <-arrival:
	case <-passed:
	}
}

// flush writes all that waits, rested or not, and drops what it could not
// write in time.
func (w *writer) flush(ctx context.Context) {
	ctx, cancel := w.within(ctx, flushTime)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		w.table.hurry()
		wrote, _, err := w.step(ctx)
		switch {
		case err != nil:
			last = err
			w.failures++
			w.sleep(ctx, nil, min(w.pause(), flushTime/10))
		case !wrote:
			return
		}
	}
	w.table.hurry()
	w.drop(dropFailed, w.table.giveUp(w.clock.Now()), last, "prefix", w.keys, "stopping", true)
}

// within bounds a context by the recorder's clock.
func (r *Recorder) within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := r.clock.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}
