package informer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// Run lists, watches and recovers until ctx is done; it then returns nil, when
// every goroutine that it started has ended, handlers included. The replica
// stays readable. Run may be called again once it has returned: handlers are
// then told what has changed in between. While it runs, another call fails.
func (r *Replica) Run(ctx context.Context) error {
	if err := r.begin(); err != nil {
		return err
	}
	defer r.end()
	if r.mutations != nil {
		defer r.startMutations()()
	}
	defer r.startCheckpoints(ctx)()
	defer r.startHandlers(ctx)() // before the last look for mutations
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() { r.warnOfServers(ctx) })
	f := &reflector{replica: r, reason: reasonInitial, contact: r.clock.Now()}
	backoff := retry.NewBackoff(r.clock, r.timing.retry, r.timing.retryMax)
	for ctx.Err() == nil {
		f.progressed = false
		err := f.cycle(ctx)
		if ctx.Err() != nil || errors.Is(err, errNewKind) {
			continue
		}
		if f.progressed {
			backoff.Reset()
		}
		pause := backoff.Next()
		f.failed(err, pause)
		_ = retry.Sleep(ctx, r.clock, pause) // the loop asks ctx
	}
	return nil
}

var (
	errRunning = errors.New("informer: Run was called while the replica runs")
	errNewKind = errors.New("a kind was added: listing")
)

// reflector is what Run keeps between attempts. It belongs to Run's goroutine.
type reflector struct {
	replica    *Replica
	reason     string    // why the next attempt must list; empty when it may resume
	progressed bool      // etcd told something new: what fails next is no failure in a row
	contact    time.Time // when etcd was last heard
	certain    int64     // the revision up to which nothing can be missing
	lag        lag
	inflow     *inflow // of the newest watch
	witness    witness
	blind      bool // the user may not read the epoch key
	noEpoch    bool // that the user may not make one was said

	restored bool        // the checkpoint was used, or is of no use
	saved    *savedState // it was read, and etcd is yet to be asked
}

// Why a replica lists, as counted in [Status].
const (
	reasonInitial   = "initial"
	reasonNewKind   = "new kind"
	reasonCompacted = "compacted"
	reasonBehind    = "far behind"
	reasonRegressed = "revision went back"
	reasonReplaced  = "data replaced"
	reasonProgram   = "checkpoint of another program"
	reasonDisorder  = "events out of order"
)

// failed makes a failure known: the first one in a row to everybody.
func (f *reflector) failed(err error, retry time.Duration) {
	log := f.replica.log.V(1)
	if f.replica.status.failed(f.contact, f.replica.clock.Now(), err) {
		log = f.replica.log
	}
	log.Info("replica disturbed", "revision", f.replica.Snapshot().revision, "retryAfter", retry, "cause", err.Error())
}

func (f *reflector) recovered() {
	if f.replica.status.recovered() {
		f.replica.log.Info("replica follows etcd again", "revision", f.replica.Snapshot().revision)
	}
}

// cycle brings the replica up to date and follows etcd until something ends
// that. It always returns an error.
func (f *reflector) cycle(ctx context.Context) error {
	if len(*f.replica.sorted.Load()) == 0 {
		select {
		case <-f.replica.relist:
			f.reason = reasonInitial
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if f.reason == reasonInitial {
		if err := f.restore(ctx); err != nil {
			return err
		}
	}
	resumed := f.reason == ""
	if resumed {
		f.lag.resume()
	} else if err := f.list(ctx, f.reason); err != nil {
		return err
	}
	f.reason = ""
	f.inflow = newInflow(f.replica.bytes())
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := f.open(ctx, cancel)
	if err != nil {
		return f.judge(err)
	}
	defer w.Close()
	if err := f.checkCreated(ctx, w, resumed); err != nil {
		return err
	}
	f.recovered()
	return f.judge(w.Explain(f.follow(ctx, w, &asking)))
}

// open opens the watch that continues the newest snapshot, over the smallest
// range that covers all kinds: one watch has one order.
func (f *reflector) open(ctx context.Context, cancel context.CancelFunc) (*etcd.Watch, error) {
	timeout := f.replica.clock.AfterFunc(f.replica.timing.answer, cancel)
	defer timeout.Stop()
	var ranges []etcd.Range
	for _, k := range *f.replica.sorted.Load() {
		ranges = append(ranges, etcd.PrefixRange(k.prefix))
	}
	f.replica.status.opening(f.inflow)
	w, err := etcd.OpenWatch(ctx, f.replica.store.Client(), etcd.EnclosingRange(ranges...), f.replica.Snapshot().revision+1,
		etcd.WatchOptions{OnReceive: f.inflow.take})
	if err != nil && !timeout.Stop() {
		err = fmt.Errorf("no answer from etcd within %v: %w", f.replica.timing.answer, err)
	}
	return w, err
}

// judge decides whether the next attempt must list, as the error that ended the
// watch shows.
func (f *reflector) judge(err error) error {
	var compacted *etcd.CompactedError
	switch {
	case errors.As(err, &compacted) || apierrors.IsResourceExpired(err):
		f.reason = reasonCompacted
	case f.inflow.burst.Load() && f.reason == "":
		f.reason = reasonBehind
		return f.inflow.err()
	}
	return err
}

// checkCreated compares etcd with the replica when the watch was created. Etcd
// may have been wiped or restored since the replica last heard of it, or this
// member may lag; far ahead of the replica, listing is cheaper than replaying.
func (f *reflector) checkCreated(ctx context.Context, w *etcd.Watch, resumed bool) error {
	f.contact = f.replica.clock.Now()
	at := f.replica.Snapshot().revision
	if resumed || w.Created < at {
		if err := f.verify(ctx); err != nil {
			return err
		}
	}
	return f.checkLag(w.Created, at)
}

// checkLag ends the replaying of changes when etcd is too far ahead of them.
func (f *reflector) checkLag(now, replayed int64) error {
	if !f.lag.tooFar(now - replayed) {
		return nil
	}
	f.reason = reasonBehind
	return fmt.Errorf("etcd is at revision %d, the watch at %d: listing is faster than replaying", now, replayed)
}
