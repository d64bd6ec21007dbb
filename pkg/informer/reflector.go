package informer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/store"
)

const (
	// replayLimit is how many revisions behind etcd a replica may be and still
	// replay them. A watch that is behind gets at most a thousand revisions per
	// pass of the server, and each pass scans the whole backlog under a lock
	// that writers need; a list costs the same whatever the backlog.
	replayLimit = 1000

	// openTimeout bounds the opening of a watch, which etcd's client would try
	// for ever.
	openTimeout = 10 * time.Second

	// idleCheck is how long nothing may happen before etcd is asked whether
	// something should have. A watch on a store that was wiped, or behind a
	// connection that died in silence, tells nothing by itself.
	idleCheck = 5 * time.Second

	// progressDelay is how long somebody who waits for a revision waits for an
	// event to bring it before etcd is asked how far the watch has come.
	progressDelay = 10 * time.Millisecond
)

// Run lists, watches and recovers until ctx is done; it then returns nil, when
// every goroutine that it started has ended, handlers included. The replica
// stays readable. Run must not be called again before it has returned.
func (r *Replica) Run(ctx context.Context) error {
	if err := r.startHandlers(ctx); err != nil {
		return err
	}
	defer r.stopHandlers()
	f := &reflector{Replica: r, reason: reasonInitial}
	pause := newBackoff()
	for ctx.Err() == nil {
		before := f.progressed
		err := f.cycle(ctx)
		if ctx.Err() != nil {
			break
		}
		if f.progressed > before {
			pause = newBackoff()
		}
		if errors.Is(err, errNewKind) {
			continue
		}
		r.status.failed(r.clock.Now(), err)
		delay := pause.Step()
		r.log.V(1).Info("replica disturbed", "revision", r.Snapshot().revision, "retryAfter", delay, "cause", err.Error())
		sleep(ctx, r.clock, delay)
	}
	return nil
}

var errNewKind = errors.New("a kind was added: listing")

func newBackoff() *wait.Backoff {
	return &wait.Backoff{Duration: 20 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 1 << 30, Cap: 10 * time.Second}
}

func sleep(ctx context.Context, c clock.Clock, d time.Duration) {
	t := c.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C():
	}
}

// reflector is what Run keeps between attempts. It belongs to Run's goroutine.
type reflector struct {
	*Replica
	reason     string // why the next attempt must list; empty when it may resume
	progressed int    // counts what etcd answered, so that only failures in a row wait longer
}

// Why a replica lists, as counted in [Status].
const (
	reasonInitial   = "initial"
	reasonNewKind   = "new kind"
	reasonCompacted = "compacted"
	reasonBehind    = "far behind"
	reasonRegressed = "revision went back"
)

// cycle brings the replica up to date and follows etcd until something ends
// that. It always returns an error.
func (f *reflector) cycle(ctx context.Context) error {
	if len(*f.sorted.Load()) == 0 {
		select {
		case <-f.relist:
			f.reason = reasonInitial
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if f.reason != "" {
		if err := f.list(ctx, f.reason); err != nil {
			return err
		}
		f.reason = ""
		f.progressed++
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := f.open(ctx, cancel)
	if err != nil {
		return f.judge(err)
	}
	if err := f.checkCreated(ctx, w); err != nil {
		return err
	}
	f.status.recovered()
	return f.judge(f.follow(ctx, w))
}

// open opens the watch that continues the newest snapshot, over the smallest
// range that covers all kinds: one watch has one order.
func (f *reflector) open(ctx context.Context, cancel context.CancelFunc) (*store.RawWatch, error) {
	timeout := f.clock.AfterFunc(openTimeout, cancel)
	defer timeout.Stop()
	var ranges []store.Range
	for _, k := range *f.sorted.Load() {
		ranges = append(ranges, store.PrefixRange(k.prefix))
	}
	f.status.opening()
	return store.OpenWatch(ctx, f.store.Client(), store.Cover(ranges...), f.Snapshot().revision+1)
}

// judge decides whether the next attempt must list.
func (f *reflector) judge(err error) error {
	var compacted *store.CompactedError
	if errors.As(err, &compacted) || apierrors.IsResourceExpired(err) {
		f.reason = reasonCompacted
	}
	return err
}

// checkCreated compares etcd's revision when the watch was created with the
// replica's. Behind it, etcd was wiped or restored, or this member lags; far
// ahead of it, listing is cheaper than replaying.
func (f *reflector) checkCreated(ctx context.Context, w *store.RawWatch) error {
	at := f.Snapshot().revision
	if w.Created < at {
		return f.checkRegressed(ctx)
	}
	if w.Created-at > replayLimit {
		f.reason = reasonBehind
		return fmt.Errorf("etcd is at revision %d, the replica at %d: listing is faster than replaying", w.Created, at)
	}
	f.progressed++
	return nil
}

// checkRegressed asks etcd, linearizably, whether it has lost revisions that
// the replica has seen.
func (f *reflector) checkRegressed(ctx context.Context) error {
	now, err := f.store.Revision(ctx)
	if err != nil {
		return err
	}
	if at := f.Snapshot().revision; now < at {
		f.reason = reasonRegressed
		f.log.Info("etcd's revision went back: it was wiped or restored; listing", "replica", at, "etcd", now)
		return fmt.Errorf("etcd is at revision %d, the replica at %d: etcd was wiped or restored", now, at)
	}
	return nil
}

// follow applies what the watch brings until it ends.
func (f *reflector) follow(ctx context.Context, w *store.RawWatch) error {
	idle := f.clock.NewTimer(idleCheck)
	defer idle.Stop()
	progress := f.clock.NewTimer(idleCheck)
	defer progress.Stop()
	waiting := false
	idling := idleWatch{reflector: f}
	for {
		select {
		case resp, ok := <-w.Responses:
			if err := store.WatchError(resp, ok); err != nil {
				return errors.Join(err, ctx.Err())
			}
			if err := f.apply(resp); err != nil {
				return err
			}
			idling.heard = true
		case <-f.relist:
			f.reason = reasonNewKind
			return errNewKind
		case <-f.poke:
			if !waiting {
				waiting = true
				progress.Reset(progressDelay)
			}
		case <-progress.C():
			if waiting = f.waits.furthest() > f.Snapshot().revision; waiting {
				if err := w.RequestProgress(); err != nil {
					return fmt.Errorf("request progress: %w", err)
				}
				progress.Reset(5 * progressDelay)
			}
		case <-idle.C():
			if err := idling.check(ctx, w); err != nil {
				return err
			}
			idle.Reset(idleCheck)
		}
	}
}

// idleWatch finds out whether a silent watch is alive.
type idleWatch struct {
	*reflector
	heard bool  // something came since the last check
	asked int64 // the revision that the watch was last asked to reach
}

func (i *idleWatch) check(ctx context.Context, w *store.RawWatch) error {
	heard := i.heard
	i.heard = false
	if heard {
		i.asked = 0
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, idleCheck)
	defer cancel()
	now, err := i.store.Revision(ctx)
	if err != nil {
		return fmt.Errorf("nothing heard from etcd: %w", err)
	}
	at := i.Snapshot().revision
	switch {
	case now < at:
		return i.checkRegressed(ctx)
	case now == at:
		return nil
	case i.asked > at:
		return fmt.Errorf("the watch is stuck: asked for revision %d, it stays at %d", i.asked, at)
	}
	i.asked = now
	return w.RequestProgress()
}

// apply takes in one response as a whole and publishes one snapshot.
func (f *reflector) apply(resp clientv3.WatchResponse) error {
	at := f.Snapshot().revision
	if resp.IsProgressNotify() {
		if resp.Header.Revision > at {
			f.mu.Lock()
			f.publish(resp.Header.Revision)
			f.mu.Unlock()
			f.waits.reached(resp.Header.Revision)
		}
		return nil
	}
	if len(resp.Events) == 0 {
		return nil
	}
	b := batch{Replica: f.Replica, touched: map[*kind]bool{}}
	last := at
	for _, ev := range resp.Events {
		if ev.Kv.ModRevision < last {
			if ev.Kv.ModRevision <= at {
				continue // etcd may repeat what came before a watch from the future
			}
			return fmt.Errorf("etcd sent revision %d after %d: watching again", ev.Kv.ModRevision, last)
		}
		if ev.Kv.ModRevision == at {
			continue
		}
		last = ev.Kv.ModRevision
		b.decode(ev)
	}
	b.commit(last)
	f.progressed++
	return nil
}

// batch is the changes of one response, decoded before any lock is taken.
type batch struct {
	*Replica
	changes []change
	touched map[*kind]bool
}

// change is what became of one object.
type change struct {
	kind     *kind
	key      string
	old, new *entry // nil: there was none, there is none
	revision int64
}

func (b *batch) decode(ev *clientv3.Event) {
	etcdKey := string(ev.Kv.Key)
	k := findKind(*b.sorted.Load(), etcdKey)
	if k == nil {
		b.status.foreign()
		return
	}
	c := change{kind: k, key: etcdKey[len(k.prefix):], revision: ev.Kv.ModRevision}
	if ev.Type == mvccpb.PUT {
		if c.new = b.decodeEntry(k, etcdKey, ev.Kv); c.new == nil {
			return // undecodable: the last good object stays
		}
	} else {
		b.status.decodable(etcdKey)
	}
	b.changes = append(b.changes, c)
	b.touched[k] = true
}

// decodeEntry returns nil for a value that cannot be decoded, and reports it.
func (r *Replica) decodeEntry(k *kind, etcdKey string, kv *mvccpb.KeyValue) *entry {
	obj, _, err := k.decode(etcdKey, kv.Value, kv.ModRevision)
	if err != nil {
		if r.status.undecodable(etcdKey, kv.ModRevision, err) {
			r.log.Error(err, "value cannot be decoded; keeping what was known of the object", "key", etcdKey, "revision", kv.ModRevision)
		}
		return nil
	}
	r.status.decodable(etcdKey)
	return &entry{key: etcdKey[len(k.prefix):], obj: obj, rev: kv.ModRevision, size: len(kv.Key) + len(kv.Value)}
}

// commit applies the changes, publishes the snapshot and tells the handlers.
func (b *batch) commit(revision int64) {
	b.mu.Lock()
	touched := make([]*kind, 0, len(b.touched))
	for k := range b.touched {
		if k.objects == nil { // registered after the last list; the next has it
			continue
		}
		touched = append(touched, k)
	}
	told := b.changes[:0]
	for _, c := range b.changes {
		if c.kind.objects == nil {
			continue
		}
		c.old, _ = c.kind.objects.Get(c.key)
		if c.old == nil && c.new == nil {
			continue
		}
		c.kind.set(c.old, c.new)
		told = append(told, c)
	}
	b.publish(revision, touched...)
	for _, c := range told {
		c.kind.tell(c)
	}
	b.mu.Unlock()
	b.waits.reached(revision)
}
