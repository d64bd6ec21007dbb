package informer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"

	"github.com/homeostat/homeostat/pkg/internal/regular"
	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// Checkpoint says where a replica keeps its state for the next process, and how
// often it writes it. The package documentation states the guarantees.
type Checkpoint struct {
	// Path is the file. It must be a regular file or not exist. Its directory must exist and be writable: the replica
	// writes <Path>.tmp and renames it, and locks <Path>.lock against a second
	// writer. Defaults to no file.
	Path string
	// Interval is the time between two writes. Up to a tenth is added at random,
	// and more if a write takes longer than a twentieth of it. If no object has
	// changed, nothing is written. It must not be negative. Defaults to a minute.
	Interval time.Duration
}

// CheckpointStatus is the state of a replica's checkpoint.
type CheckpointStatus struct {
	// Start says what Run did with the checkpoint that it found. It is set before the
	// first handler is called.
	Start string
	// Revision, Bytes and Written are the revision, size and time of the newest
	// checkpoint. They are zero until this replica has written one.
	Revision int64
	Bytes    int64
	Written  time.Time
	// Writes counts the checkpoints written, and Failures the attempts that failed.
	Writes, Failures int64
	// Err is why the last attempt failed, or what delays a checkpoint that is due,
	// such as a handler that still has to be called. It is nil otherwise.
	Err error
}

const defaultCheckpointInterval = time.Minute

// checkpointer writes checkpoints. One goroutine owns it at a time: first the one of
// run, and after that and all handlers have ended, the one of Replica.Run.
type checkpointer struct {
	replica  *Replica
	path     string
	interval time.Duration
	lock     *fileutil.LockedFile

	// pending waits for the handlers; ready waits to be written. So at most two
	// old snapshots are held.
	pending, ready *pendingCheckpoint
	written        *pendingCheckpoint // the state on disk; nil if there is none that can be used
	late           bool               // a slow handler was reported
	due            time.Time
}

// pendingCheckpoint is a snapshot that becomes a checkpoint once all handlers have
// returned from the calls for the changes up to it. If it were written earlier and
// the process died, some of those changes would never be delivered.
type pendingCheckpoint struct {
	snapshot    *Snapshot
	kinds       []*kind
	undecodable map[string]undecodable
	handlers    []*handlerQueue
	taken       time.Time
}

// waitingFor returns a handler that has undelivered changes of the snapshot, or nil.
func (c *pendingCheckpoint) waitingFor() *handlerQueue {
	for _, q := range c.handlers {
		if !q.reachedWatermark() {
			return q
		}
	}
	return nil
}

// startCheckpoints writes checkpoints until ctx is done. finish writes the last one;
// call it when nothing else of the replica runs.
func (r *Replica) startCheckpoints(ctx context.Context) (finish func()) {
	if r.checkpoint.Path == "" {
		return func() {}
	}
	c := &checkpointer{replica: r, path: r.checkpoint.Path, interval: r.checkpoint.Interval}
	if c.interval == 0 {
		c.interval = defaultCheckpointInterval
	}
	c.due = r.clock.Now().Add(retry.Jitter(c.interval))
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

// poll captures a pending checkpoint if there is none, and checks whether it is ready.
func (c *checkpointer) poll() {
	if c.pending == nil {
		c.pending = c.capture()
	}
	if c.pending == nil {
		return
	}
	if q := c.pending.waitingFor(); q != nil {
		c.reportLate(q)
		return
	}
	c.ready, c.pending = c.pending, nil
	if c.late {
		c.late = false
		c.replica.status.checkpoint(func(st *CheckpointStatus) { st.Err = nil })
	}
}

// reportLate reports a handler that delays a checkpoint by more than the interval.
func (c *checkpointer) reportLate(q *handlerQueue) {
	if c.replica.clock.Since(c.pending.taken) < c.interval {
		return
	}
	c.late = true
	c.failed(fmt.Errorf("a handler of %s has not returned from the changes up to revision %d since %s; %d changes are undelivered",
		q.kind.info.GroupVersionKind.Kind, c.pending.snapshot.revision, c.pending.taken.Format(time.RFC3339), q.pending()))
}

// capture returns the newest snapshot whose changes are in all handlers' queues, and
// sets a watermark in each queue. It returns nil if there is none yet.
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
		for _, q := range k.handlers {
			q.setWatermark()
			t.handlers = append(t.handlers, q)
		}
	}
	return t
}

// write writes the ready checkpoint, unless it is on disk.
func (c *checkpointer) write(ctx context.Context, workers int) {
	if c.ready == nil || c.ready.same(c.written) {
		return
	}
	began := c.replica.clock.Now()
	n, err := c.tryWrite(ctx, workers)
	took := c.replica.clock.Since(began)
	c.due = c.replica.clock.Now().Add(max(retry.Jitter(c.interval), 20*took))
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
	// The file replaces what is at the path, which must not be a pipe or a device.
	if err := regular.Check(c.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if c.lock == nil {
		lock, err := fileutil.TryLockFile(c.path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, fileutil.ErrLocked) {
			return 0, fmt.Errorf("another replica writes checkpoints to %s: give each its own path", c.path)
		}
		if err != nil {
			return 0, fmt.Errorf("lock %s.lock: %w", c.path, err)
		}
		c.lock = lock
	}
	return replaceFile(c.replica.disk, c.path, func(w *checkpointWriter) error { return c.ready.write(ctx, w, workers) })
}

// failed records that there is no checkpoint. It logs the first failure in a row.
func (c *checkpointer) failed(err error) {
	first := false
	c.replica.status.checkpoint(func(st *CheckpointStatus) { first, st.Err = st.Err == nil, err })
	log := c.replica.log.V(1)
	if first {
		log = c.replica.log
	}
	log.Info("checkpoint not written; retrying", "path", c.path, "cause", err.Error())
}

// same reports whether other has the same objects of the same epoch, of the kinds
// that are written. The revisions may differ: the same changes follow from either.
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
