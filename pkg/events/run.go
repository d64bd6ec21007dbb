package events

import (
	"context"
	"errors"
	"time"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/internal/retry"
	"github.com/homeostat/homeostat/pkg/internal/sharedlease"
)

const (
	// batchSize is how many Events are written in one transaction.
	batchSize = 32
	// giveUpAfter is how long writing an Event is tried.
	giveUpAfter = 5 * time.Minute
	// flushTimeout is how long Run may go on writing after its context is done.
	flushTimeout = 5 * time.Second
	// firstPause and maxPause bound the pauses between attempts that fail.
	firstPause, maxPause = 100 * time.Millisecond, 8 * time.Second
	// maxFlushPause is the longest such pause while Run flushes.
	maxFlushPause = flushTimeout / 10
)

// Run writes recorded Events until ctx is done. Then it writes what is pending, for at
// most 5 seconds, and returns nil. Failures of etcd do not end it.
//
// Run may be called again after it has returned. A call during another, on r or on
// a recorder made by [Recorder.WithController], returns an error at once.
func (r *Recorder) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return errors.New("events: the recorder runs already")
	}
	defer r.running.Store(false)
	w := &writer{recorder: r, leases: sharedlease.New(r.options.Client, r.clock), backoff: retry.NewBackoff(r.clock, firstPause, maxPause)}
	for ctx.Err() == nil {
		switch wrote, wait, err := w.step(ctx); {
		case ctx.Err() != nil:
		case err != nil:
			w.failed(err)
			_ = w.backoff.Wait(ctx) // the loop ends with ctx
		case !wrote:
			w.await(ctx, wait)
		}
	}
	w.flush(context.WithoutCancel(ctx))
	return nil
}

// writer is one run of a recorder. It belongs to Run's goroutine.
type writer struct {
	recorder *Recorder
	leases   *sharedlease.Leases
	backoff  *retry.Backoff

	failures    int       // since the last success
	failedSince time.Time // when the first of them was
	loggedAt    time.Time // when the last log line about failures was
	logged      bool      // the log has a line about the current failures
}

// step writes one batch. If there is none, wait is how long to wait for one, as
// nextBatch returns it.
func (w *writer) step(ctx context.Context) (wrote bool, wait time.Duration, err error) {
	r := w.recorder
	batch, wait := r.table.nextBatch(r.clock.Now(), batchSize)
	if len(batch) == 0 {
		return false, wait, nil
	}
	if err := w.write(ctx, batch); err != nil {
		r.table.failed(batch)
		return false, 0, err
	}
	r.table.done(r.clock.Now(), batch)
	w.succeeded()
	return true, 0, nil
}

// failed records a failed attempt, and drops the Events that have waited for too long.
// An Event recorded before the first failure waits from then on.
func (w *writer) failed(err error) {
	r, now := w.recorder, w.recorder.clock.Now()
	if w.failures++; w.failures == 1 {
		w.failedSince = now
	}
	if w.loggedAt.IsZero() || now.Sub(w.loggedAt) >= logInterval {
		w.loggedAt, w.logged = now, true
		r.log.Error(err, "events cannot be written, trying again", "endpoints", etcd.RedactEndpoints(r.options.Client.Endpoints()...),
			"prefix", r.keys, "failures", w.failures, "since", w.failedSince)
	}
	if since := now.Add(-giveUpAfter); !w.failedSince.After(since) {
		r.drop(dropFailed, r.table.abandon(since), err, "prefix", r.keys)
	}
}

func (w *writer) succeeded() {
	if w.logged {
		w.recorder.log.Info("events can be written again", "prefix", w.recorder.keys, "failures", w.failures, "since", w.failedSince)
	}
	w.failures, w.logged = 0, false
	w.backoff.Reset()
}

// await waits until a series has become ready, d has passed unless it is 0, or ctx is
// done.
func (w *writer) await(ctx context.Context, d time.Duration) {
	var passed <-chan time.Time
	if d > 0 {
		timer := w.recorder.clock.NewTimer(d)
		defer timer.Stop()
		passed = timer.C()
	}
	select {
	case <-ctx.Done():
	case <-w.recorder.wake:
	case <-passed:
	}
}

// flush writes all that is pending, and drops what it could not write in time.
func (w *writer) flush(ctx context.Context) {
	r := w.recorder
	ctx, cancel := retry.WithTimeout(ctx, r.clock, flushTimeout)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		r.table.endCooldowns()
		wrote, _, err := w.step(ctx)
		switch {
		case err != nil:
			last = err
			_ = retry.Sleep(ctx, r.clock, min(w.backoff.Next(), maxFlushPause)) // the loop ends with ctx
		case !wrote:
			return
		}
	}
	r.table.endCooldowns()
	r.drop(dropFailed, r.table.abandon(r.clock.Now()), last, "prefix", r.keys, "stopping", true)
}
