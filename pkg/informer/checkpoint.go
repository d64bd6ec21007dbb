package informer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"k8s.io/apimachinery/pkg/util/wait"
)

// Checkpoint says where a replica keeps its state for the next process, and how
// often. See the package's documentation for what that guarantees.
type Checkpoint struct {
	// Path is the file. Its directory must exist and be writable: the file is
	// written beside it, as <Path>.tmp, and renamed. <Path>.lock keeps a second
	// process from writing it at the same time. Defaults to none.
	Path string
	// Interval is the time between two checkpoints, to which up to a tenth is
	// added, and more where writing one takes longer than a twentieth of it.
	// Nothing is written when no object has changed. Defaults to a minute.
	Interval time.Duration
}

// CheckpointStatus tells how the keeping of a checkpoint fares.
type CheckpointStatus struct {
	// Start says what became of the checkpoint that Run found.
	Start string
	// Revision is the newest checkpoint's, Bytes its size and Written when it was
	// written. They are zero as long as this replica has written none.
	Revision int64
	Bytes    int64
	Written  time.Time
	// Writes and Failures count the attempts.
	Writes, Failures int64
	// Err is why the last attempt failed, or what keeps a checkpoint that is due
	// from being written, such as a handler that is not told what it is to hold.
	Err error
}

const defaultCheckpointInterval = time.Minute

// checkpointer writes checkpoints. It belongs to Run: first to a goroutine of its
// own, and once that and the handlers have ended, to Run's.
type checkpointer struct {
	replica  *Replica
	path     string
	interval time.Duration
	lock     *fileutil.LockedFile

	// pending waits for the handlers to be told; ready has been. At most two old
	// snapshots are held for them.
	pending, ready *pendingCheckpoint
	written        *pendingCheckpoint // what is on disk; nil: nothing that is of use
	late           bool               // that a handler is too slow was said
	due            time.Time
}

// candidate is a snapshot that may become a checkpoint once all the handlers
// that were there when it was taken have been told everything up to it.
// Otherwise a change that a handler was not told of when the process died would
// never be told.
type pendingCheckpoint struct {
	snapshot    *Snapshot
	kinds       []*kind
	undecodable map[string]undecodable
	handlers    []*handlerQueue
	taken       time.Time
}

// untold returns a handler that was not told everything yet.
func (c *pendingCheckpoint) waitingFor() *handlerQueue {
	for _, l := range c.handlers {
		if !l.reachedWatermark() {
			return l
		}
	}
	return nil
}

// startCheckpoints has checkpoints written until ctx is done. finish, which is to
// be called when nothing of the replica runs any more, writes the last.
func (r *Replica) startCheckpoints(ctx context.Context) (finish func()) {
	if r.checkpoint.Path == "" {
		return func() {}
	}
	c := &checkpointer{replica: r, path: r.checkpoint.Path, interval: r.checkpoint.Interval}
	if c.interval <= 0 {
		c.interval = defaultCheckpointInterval
	}
	c.due = r.clock.Now().Add(wait.Jitter(c.interval, 0.1))
	var periodic sync.WaitGroup
	periodic.Go(func() { c.run(ctx) })
	return func() {
		periodic.Wait()
		c.poll()
		c.poll()
		c.write(context.WithoutCancel(ctx), runtime.GOMAXPROCS(0))
		if c.lock != nil {
			_ = c.lock.Close() // there is nothing more to be done with it
		}
	}
}

func (c *checkpointer) run(ctx context.Context) {
	ticker := c.replica.clock.NewTicker(min(c.replica.timing.checkpointPoll, c.interval))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C():
		case <-ctx.Done():
			return
		}
		c.poll()
		if !c.replica.clock.Now().Before(c.due) {
			c.write(ctx, 1)
		}
	}
}

// sample takes a candidate, if none is pending, and finds out whether it is
// ready.
func (c *checkpointer) poll() {
	if c.pending == nil {
		c.pending = c.capture()
	}
	if c.pending == nil {
		return
	}
	if l := c.pending.waitingFor(); l != nil {
		c.reportLate(l)
		return
	}
	c.ready, c.pending = c.pending, nil
	if c.late {
		c.late = false
		c.replica.status.checkpoint(func(st *CheckpointStatus) { st.Err = nil })
	}
}

// waitFor says so when a handler is so slow that a checkpoint is late.
func (c *checkpointer) reportLate(l *handlerQueue) {
	if c.replica.clock.Since(c.pending.taken) < c.interval {
		return
	}
	c.late = true
	c.failed(fmt.Errorf("a handler of %s was not told yet what has happened up to revision %d, since %s; %d changes wait for it",
		l.kind.info.GroupVersionKind.Kind, c.pending.snapshot.revision, c.pending.taken.Format(time.RFC3339), l.pending()))
}

// take returns the newest snapshot that was handed on, with a mark in the backlog of each handler.
func (c *checkpointer) capture() *pendingCheckpoint {
	c.replica.mu.Lock()
	defer c.replica.mu.Unlock()
	s := c.replica.enqueued.Load()
	if s == nil || s.epochID.cluster == 0 || c.replica.catchingUp {
		return nil
	}
	if c.written == nil {
		c.written = c.replica.restoredCheckpoint
	}
	if c.ready != nil && c.ready.snapshot == s {
		return c.ready
	}
	t := &pendingCheckpoint{snapshot: s, taken: c.replica.clock.Now(), undecodable: c.replica.status.allUndecodable()}
	for _, k := range c.replica.kinds {
		if !k.scope.whole() || k.slot >= len(s.kinds) || s.kinds[k.slot].objects == nil {
			continue
		}
		t.kinds = append(t.kinds, k)
		for _, l := range k.handlers {
			l.setWatermark()
			t.handlers = append(t.handlers, l)
		}
	}
	return t
}

// write writes what is ready, unless it is on disk.
func (c *checkpointer) write(ctx context.Context, workers int) {
	if c.ready == nil || c.ready.same(c.written) {
		return
	}
	began := c.replica.clock.Now()
	n, err := c.tryWrite(ctx, workers)
	took := c.replica.clock.Since(began)
	c.due = c.replica.clock.Now().Add(max(wait.Jitter(c.interval, 0.1), 20*took))
	if ctx.Err() != nil {
		return // finish writes the last
	}
	if err != nil {
		c.replica.status.checkpoint(func(st *CheckpointStatus) { st.Failures++ })
		c.failed(fmt.Errorf("write checkpoint: %w", err))
		return
	}
	c.written = c.ready
	revision := c.written.snapshot.revision
	c.replica.status.checkpoint(func(st *CheckpointStatus) {
		st.Revision, st.Bytes, st.Written, st.Err = revision, n, c.replica.clock.Now(), nil
		st.Writes++
	})
	c.replica.log.V(1).Info("checkpoint written", "path", c.path, "revision", revision, "bytes", n, "took", took)
}

func (c *checkpointer) tryWrite(ctx context.Context, workers int) (int64, error) {
	if c.lock == nil {
		lock, err := fileutil.TryLockFile(c.path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, fileutil.ErrLocked) {
			return 0, fmt.Errorf("another replica writes checkpoints to %s: each needs a path of its own", c.path)
		}
		if err != nil {
			return 0, fmt.Errorf("lock %s.lock: %w", c.path, err)
		}
		c.lock = lock
	}
	return replaceFile(c.replica.disk, c.path, func(w *checkpointWriter) error { return c.ready.write(ctx, w, workers) })
}

// failed makes it known that there is no checkpoint: in the log, the first time
// in a row.
func (c *checkpointer) failed(err error) {
	first := false
	c.replica.status.checkpoint(func(st *CheckpointStatus) { first, st.Err = st.Err == nil, err })
	log := c.replica.log.V(1)
	if first {
		log = c.replica.log
	}
	log.Info("no checkpoint; retrying", "path", c.path, "cause", err.Error())
}

// same reports whether another candidate has the same objects of the same etcd, of
// the kinds that are to be written. Its revision may differ: from either, the same
// changes follow.
func (c *pendingCheckpoint) same(other *pendingCheckpoint) bool {
	if other == nil {
		return false
	}
	a, b := c.snapshot, other.snapshot
	return a.epoch == b.epoch && a.epochID == b.epochID &&
		!slices.ContainsFunc(c.kinds, func(k *kind) bool { return a.kind(k).objects != b.kind(k).objects })
}

func (k *statusKeeper) checkpoint(change func(*CheckpointStatus)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.now.Checkpoint)
}

func (k *statusKeeper) allUndecodable() map[string]undecodable {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.bad)
}
