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
	if err := r.markRunning(); err != nil {
		return err
	}
	defer r.markStopped()
	if r.mutations != nil {
		defer r.startMutations()()
	}
	defer r.startCheckpoints(ctx)()
	defer r.startHandlers(ctx)() // before the last look for mutations
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() { r.warnOfServers(ctx) })
	f := &reflector{replica: r, relistReason: reasonInitial, lastContact: r.clock.Now()}
	backoff := retry.NewBackoff(r.clock, r.timing.retry, r.timing.retryMax)
	for ctx.Err() == nil {
		f.progressed = false
		err := f.listAndWatch(ctx)
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
	replica      *Replica
	relistReason string    // why the next attempt must list; empty when it may resume
	progressed   bool      // etcd told something new: what fails next is no failure in a row
	lastContact  time.Time // when etcd was last heard
	complete     int64     // the revision up to which nothing can be missing
	budget       replayBudget
	pending      *pendingBytes // of the newest watch
	sentinel     sentinel
	blind        bool // the user may not read the epoch key
	noEpoch      bool // that the user may not make one was said

	checkpointDone bool        // the checkpoint was used, or is of no use
	saved          *savedState // it was read, and etcd is yet to be asked
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
	if f.replica.status.failed(f.lastContact, f.replica.clock.Now(), err) {
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
func (f *reflector) listAndWatch(ctx context.Context) error {
	if len(*f.replica.sorted.Load()) == 0 {
		select {
		case <-f.replica.kindAdded:
			f.relistReason = reasonInitial
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if f.relistReason == reasonInitial {
		if err := f.restoreCheckpoint(ctx); err != nil {
			return err
		}
	}
	resumed := f.relistReason == ""
	if resumed {
		f.budget.resume()
	} else if err := f.relist(ctx, f.relistReason); err != nil {
		return err
	}
	f.relistReason = ""
	f.pending = newPendingBytes(f.replica.bytes())
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := f.openWatch(ctx, cancel)
	if err != nil {
		return f.classify(err)
	}
	defer w.Close()
	if err := f.checkCreated(ctx, w, resumed); err != nil {
		return err
	}
	f.recovered()
	return f.classify(w.Explain(f.watch(ctx, w, &asking)))
}

// open opens the watch that continues the newest snapshot, over the smallest
// range that covers all kinds: one watch has one order.
func (f *reflector) openWatch(ctx context.Context, cancel context.CancelFunc) (*etcd.Watch, error) {
	timeout := f.replica.clock.AfterFunc(f.replica.timing.answer, cancel)
	defer timeout.Stop()
	var ranges []etcd.Range
	for _, k := range *f.replica.sorted.Load() {
		ranges = append(ranges, etcd.PrefixRange(k.prefix))
	}
	f.replica.status.opening(f.pending)
	w, err := etcd.OpenWatch(ctx, f.replica.store.Client(), etcd.EnclosingRange(ranges...), f.replica.Snapshot().revision+1,
		etcd.WatchOptions{OnReceive: f.pending.tap})
	if err != nil && !timeout.Stop() {
		err = fmt.Errorf("no answer from etcd within %v: %w", f.replica.timing.answer, err)
	}
	return w, err
}

// judge decides whether the next attempt must list, as the error that ended the
// watch shows.
func (f *reflector) classify(err error) error {
	var compacted *etcd.CompactedError
	switch {
	case errors.As(err, &compacted) || apierrors.IsResourceExpired(err):
		f.relistReason = reasonCompacted
	case f.pending.exceeded.Load() && f.relistReason == "":
		f.relistReason = reasonBehind
		return f.pending.err()
	}
	return err
}

// checkCreated compares etcd with the replica when the watch was created. Etcd
// may have been wiped or restored since the replica last heard of it, or this
// member may lag; far ahead of the replica, listing is cheaper than replaying.
func (f *reflector) checkCreated(ctx context.Context, w *etcd.Watch, resumed bool) error {
	f.lastContact = f.replica.clock.Now()
	at := f.replica.Snapshot().revision
	if resumed || w.Created < at {
		if err := f.probeNow(ctx); err != nil {
			return err
		}
	}
	return f.checkLag(w.Created, at)
}

// checkLag ends the replaying of changes when etcd is too far ahead of them.
func (f *reflector) checkLag(now, replayed int64) error {
	if !f.budget.exceeded(now - replayed) {
		return nil
	}
	f.relistReason = reasonBehind
	return fmt.Errorf("etcd is at revision %d, the watch at %d: listing is faster than replaying", now, replayed)
}

// replayLimit is how many revisions behind etcd a replica may be and still
// replay them. A watch that is behind gets at most a thousand revisions per
// pass of the server, and each pass scans the whole backlog under a lock that
// writers need; a list costs the same whatever the backlog.
const replayLimit = 1000

// timing is how long a replica waits for what.
type timing struct {
	// retry is the pause after a first failure; it doubles up to retryMax.
	retry, retryMax time.Duration

	// answer bounds the opening of a watch and the reading of a revision. On a
	// connection that has died in silence, etcd's client would try for ever.
	answer time.Duration

	// stall is how long a list may bring nothing.
	stall time.Duration

	// idle is the time between two looks whether the watch tells all that it
	// should. A watch on a store that was wiped, or behind a connection that
	// died in silence, tells nothing by itself.
	idle time.Duration

	// progress is how long somebody who waits for a revision waits for an event
	// to bring it before etcd is asked how far the watch has come. It doubles,
	// up to progressMax, while the answers do not suffice.
	progress, progressMax time.Duration

	// mutation is the time between two looks for changes of shared objects.
	mutation time.Duration
	// candidate is how often it is looked whether the handlers were told what a
	// checkpoint is to have: by so much, at most, one lags behind them.
	checkpointPoll time.Duration
}

func defaultTiming() timing {
	return timing{
		retry: 20 * time.Millisecond, retryMax: 10 * time.Second,
		answer: 5 * time.Second, stall: 30 * time.Second, idle: 5 * time.Second,
		progress: 10 * time.Millisecond, progressMax: time.Second,
		mutation: time.Second, checkpointPoll: time.Second,
	}
}
