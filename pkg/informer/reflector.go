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

// Run lists, watches and recovers until ctx is done. It returns nil when every
// goroutine that it started has ended, handlers included. The replica stays
// readable. Run may be called again after it has returned; handlers then receive
// what has changed in between. A call while another one runs returns an error, and so
// does one with a [Checkpoint] whose interval is negative.
func (r *Replica) Run(ctx context.Context) error {
	if i := r.checkpoint.Interval; i < 0 {
		return fmt.Errorf("informer: the checkpoint's interval is %s: it must not be negative", i)
	}
	if err := r.markRunning(); err != nil {
		return err
	}
	defer r.markStopped()
	if r.mutations != nil {
		defer r.startMutations()()
	}
	defer r.startCheckpoints(ctx)()
	defer r.startHandlers(ctx)() // ends before the last check for mutations
	var requests sync.WaitGroup
	defer requests.Wait()
	requests.Go(func() { r.warnOfServers(ctx) })
	requests.Go(func() { r.reportUndecodable(ctx) })
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
		_ = retry.Sleep(ctx, r.clock, pause) // the loop checks ctx
	}
	return nil
}

var (
	errRunning = errors.New("informer: Run was called while the replica runs")
	errNewKind = errors.New("a kind was added: listing")
)

// reflector is the state that Run keeps between attempts. It belongs to Run's
// goroutine.
type reflector struct {
	replica      *Replica
	relistReason string    // why the next attempt must list; empty if it may resume
	progressed   bool      // etcd sent something new, so the next failure is the first in a row
	lastContact  time.Time // when etcd last answered
	complete     int64     // the revision up to which nothing can be missing
	budget       replayBudget
	pending      *pendingBytes // of the newest watch
	sentinel     sentinel
	blind        bool // the etcd user may not read the epoch key
	noEpoch      bool // a log line said that the user may not create the epoch key

	checkpointDone bool        // the checkpoint was used or rejected
	saved          *savedState // a checkpoint that was read but not verified with etcd yet
}

// These are the reasons for a list, as [Status] counts them.
const (
	reasonInitial   = "initial"
	reasonNewKind   = "new kind"
	reasonCompacted = "compacted"
	reasonBehind    = "far behind"
	reasonRegressed = "revision went back"
	reasonNewData   = "data replaced"
	reasonProgram   = "checkpoint of another program"
	reasonDisorder  = "events out of order"
)

// failed reports a failure. Only the first in a row is logged at level 0.
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

// listAndWatch lists if necessary and then watches until that fails. It always
// returns an error.
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
	var requests sync.WaitGroup
	defer requests.Wait()
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
	return f.classify(w.Explain(f.watch(ctx, w, &requests)))
}

// openWatch opens the watch that continues the newest snapshot. It covers all
// kinds by their enclosing range, because one watch has one order.
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

// classify decides from the error that ended the watch whether the next attempt
// must list.
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

// checkCreated compares etcd with the replica when the watch was created. Since
// the last contact, etcd may have been wiped or restored, and this member may lag.
// If etcd is far ahead of the replica, listing is cheaper than replaying.
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

// checkLag returns an error if etcd is too far ahead to replay the changes.
func (f *reflector) checkLag(now, replayed int64) error {
	if !f.budget.exceeded(now - replayed) {
		return nil
	}
	f.relistReason = reasonBehind
	f.progressed = true // etcd answered: list without the pause after earlier failures
	return fmt.Errorf("etcd is at revision %d, the watch at %d: listing is faster than replaying", now, replayed)
}

// replayLimit is how many revisions a replica replays rather than lists. etcd
// sends a watch that is behind at most a thousand revisions per pass, and each
// pass scans the whole backlog under a lock that writers need. A list costs the
// same whatever the backlog.
const replayLimit = 1000

// timing has the intervals and timeouts of a replica.
type timing struct {
	// retry is the pause after a first failure. It doubles up to retryMax.
	retry, retryMax time.Duration

	// answer bounds the opening of a watch and the reading of a revision. Without
	// it, etcd's client would try for ever on a connection that died silently. It is
	// longer than a member's own timeout of 7 s, and leaves time for attempts on other
	// members.
	answer time.Duration

	// stall is how long a list may make no progress.
	stall time.Duration

	// idle is the interval between probes of etcd. A watch alone does not show
	// that etcd was wiped, or that its connection died silently.
	idle time.Duration

	// progress is how long a waiter for a revision waits for an event before the
	// reflector requests progress from etcd. It doubles up to progressMax while
	// the answers do not suffice.
	progress, progressMax time.Duration

	// mutation is the interval between checks for changed shared objects.

	mutation time.Duration
	// checkpointPoll is the interval between checks whether the handlers have
	// received what the pending checkpoint has. A checkpoint lags behind them by
	// at most this time.
	checkpointPoll time.Duration
}

func defaultTiming() timing {
	return timing{
		retry: 20 * time.Millisecond, retryMax: 10 * time.Second,
		answer: 10 * time.Second, stall: 30 * time.Second, idle: 5 * time.Second,
		progress: 10 * time.Millisecond, progressMax: time.Second,
		mutation: time.Second, checkpointPoll: time.Second,
	}
}
