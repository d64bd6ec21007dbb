package informer

import (
	"context"
	"iter"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/tidwall/btree"
)

// handlerQueue carries changes from the replica to one handler. Its goroutine is
// started by the replica's Run and calls the handler.
type handlerQueue struct {
	kind      *kind
	filter    func(change) (change, error) // nil: everything passes
	failures  failureCount                 // of the filter
	call      func(ctx context.Context, c change, initial bool)
	joined    func(c change) // called with changes before they are joined; nil: nothing is
	debouncer *debouncer     // instead of call
	wake      chan struct{}  // has an element if there may be something to deliver
	removedCh chan struct{}  // closed by remove

	mu          sync.Mutex // guards the fields below
	removed     bool
	cancel      context.CancelFunc // of the running handler's context
	started     bool               // setInitial was called: later changes are enqueued
	initial     *initialObjects    // delivered first; nil afterwards
	synced      bool               // the calls with the initial objects have returned
	backlog     backlog
	delivering  bool // a change was popped from the backlog and is being delivered
	undelivered int  // changes or batches up to the watermark that are not delivered yet

	// For a batch handler: when the first and the last of the changes in the
	// backlog came, and the revision up to which they lead.
	firstAt, lastAt time.Time
	batchRevision   int64
	// cancelled says that joined changes of the next batch have cancelled out, in a
	// queue with joined.
	cancelled bool
}

// idle reports whether nothing but initial objects is to be delivered. It is called with
// q.mu held.
func (q *handlerQueue) idle() bool { return q.backlog.live == 0 && !q.cancelled }

// initialObjects are the objects that a handler receives first, with the position of
// the delivery.
type initialObjects struct {
	objects  *btree.Map[string, *entry] // never changed
	revision int64
	next     btree.MapIter[string, *entry]
	left     int
}

func newHandlerQueue(k *kind, call func(ctx context.Context, c change, initial bool)) *handlerQueue {
	return &handlerQueue{
		kind: k, call: call, backlog: newBacklog(backlogLimit, backlogBytes),
		wake: make(chan struct{}, 1), removedCh: make(chan struct{}),
	}
}

// setInitial makes the kind's objects at a revision the first that the handler receives.
// It does nothing if that has happened before. The tree is never changed.
func (q *handlerQueue) setInitial(objects *btree.Map[string, *entry], revision int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.started || q.removed {
		return
	}
	q.started = true
	if objects.Len() > 0 || q.debouncer != nil {
		q.initial = &initialObjects{objects, revision, objects.Iter(), objects.Len()}
		signal(q.wake)
	} else {
		q.synced = true
	}
}

// enqueue adds the changes that lead to a revision, and ignores those of other kinds. It
// does not block, except in the filter and in joined.
func (q *handlerQueue) enqueue(changes []change, revision int64) {
	if q.filter != nil {
		changes = q.applyFilter(changes)
	}
	joined := q.push(changes, revision)
	if q.joined == nil {
		return
	}
	for _, c := range joined {
		for step := range c.steps() {
			if !q.isRemoved() {
				q.tryCall(step, func() { q.joined(step) })
			}
		}
	}
}

// push adds changes to the backlog and returns those that it joined.
func (q *handlerQueue) push(changes []change, revision int64) (joined []change) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.removed || !q.started {
		return nil
	}
	idle, took := q.idle(), false
	for _, c := range changes {
		if c.kind == q.kind {
			joined = append(joined, q.backlog.push(c)...)
			took = true
		}
	}
	q.cancelled = q.cancelled || q.debouncer != nil && q.joined != nil && len(joined) > 0
	if took && q.debouncer != nil {
		q.noteArrival(idle, revision)
	}
	if idle && !q.idle() {
		signal(q.wake)
	}
	return joined
}

// next removes and returns what to deliver next.
func (q *handlerQueue) next() (c change, initial, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := q.initial; i != nil {
		i.next.Next()
		if i.left--; i.left == 0 {
			q.initial = nil
		}
		e := i.next.Value()
		return change{q.kind, e.key, nil, e, e.rev}, true, true
	}
	c, ok = q.backlog.pop()
	q.delivering = ok
	return c, false, ok
}

// markDelivered is called when the handler has returned. A handler whose context is done
// may have skipped the change, so that does not count.
func (q *handlerQueue) markDelivered(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.delivering = false
	q.undelivered = max(0, q.undelivered-1)
}

// markInitialDelivered is called when the handler has returned from a call with initial
// objects.
func (q *handlerQueue) markInitialDelivered() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.synced = q.synced || q.initial == nil && !q.removed
}

func (q *handlerQueue) isSynced() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.synced
}

// setWatermark counts what the handler has not received yet, for reachedWatermark.
// Initial objects do not count: after a restart from a checkpoint they are delivered
// again.
func (q *handlerQueue) setWatermark() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.debouncer != nil {
		q.undelivered = 0
		if !q.idle() {
			q.undelivered = 1 // a batch has all
		}
	} else {
		q.undelivered = q.backlog.setWatermark()
	}
	if q.delivering {
		q.undelivered++
	}
}

// reachedWatermark reports whether the handler has received all changes up to the last
// watermark, or was removed.
func (q *handlerQueue) reachedWatermark() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.removed || q.undelivered == 0 || q.idle() && !q.delivering
}

func (q *handlerQueue) pending() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.backlog.live
	if q.initial != nil {
		n += q.initial.left
	}
	return n
}

// run delivers until the handler is removed or ctx is done. It may be called again after
// it has returned, and continues where it was.
func (q *handlerQueue) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q.mu.Lock()
	q.cancel, q.delivering = cancel, false
	q.mu.Unlock()
	for !q.isRemoved() && ctx.Err() == nil {
		if q.debouncer != nil {
			q.deliverNextBatch(ctx)
		} else {
			q.deliverNext(ctx)
		}
	}
}

// deliverNext delivers one change, or waits until there is something to do.
func (q *handlerQueue) deliverNext(ctx context.Context) {
	c, initial, ok := q.next()
	if initial {
		c, ok = q.applyFilterTo(c)
	}
	if ok {
		q.deliver(ctx, c, initial)
	}
	switch {
	case initial:
		q.markInitialDelivered()
	case ok:
		q.markDelivered(ctx)
	default:
		q.wait(ctx, nil)
	}
}

// wait waits until there is something to do.
func (q *handlerQueue) wait(ctx context.Context, due <-chan time.Time) {
	select {
	case <-q.wake:
	case <-due:
	case <-q.removedCh:
	case <-ctx.Done():
	}
}

// deliver calls the handler: twice if an object was deleted and another one of the same
// name was created.
func (q *handlerQueue) deliver(ctx context.Context, c change, initial bool) {
	for step := range c.steps() {
		if q.isRemoved() {
			return
		}
		q.tryCall(step, func() { q.call(ctx, step, initial) })
	}
}

// tryCall calls a function with a change and logs a panic. The next change is delivered
// all the same.
func (q *handlerQueue) tryCall(c change, f func()) {
	defer func() {
		if p := recover(); p != nil {
			q.panicked(p, "key", c.key, "revision", c.revision)
		}
	}()
	f()
}

func (q *handlerQueue) panicked(p any, over ...any) {
	q.log().WithValues(over...).Error(nil, "handler panicked", "panic", q.kind.replica.panicText(p), "stack", string(debug.Stack()))
}

func (q *handlerQueue) log() logr.Logger {
	return q.kind.replica.log.WithValues("kind", q.kind.info.GroupVersionKind.Kind)
}

func (q *handlerQueue) isRemoved() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.removed
}

func (q *handlerQueue) remove() {
	q.mu.Lock()
	removed := q.removed
	q.removed, q.initial, q.backlog = true, nil, newBacklog(backlogLimit, backlogBytes)
	cancel := q.cancel
	q.mu.Unlock()
	if removed {
		return
	}
	close(q.removedCh)
	if cancel != nil {
		cancel()
	}
	q.kind.replica.removeHandler(q)
}

// steps yields the change. If an object was deleted and another one of the same name was
// created, it yields these two changes.
func (c change) steps() iter.Seq[change] {
	return func(yield func(change) bool) {
		if c.old != nil && c.new != nil && c.old.obj.GetUID() != c.new.obj.GetUID() {
			if !yield(change{c.kind, c.key, c.old, nil, c.revision}) {
				return
			}
			c.old = nil
		}
		yield(c)
	}
}

// enqueueAll enqueues the changes that lead to a revision for some handlers.
func enqueueAll(handlers []*handlerQueue, changes []change, revision int64) {
	if len(changes) == 0 {
		return
	}
	for _, q := range handlers {
		q.enqueue(changes, revision)
	}
}

// handlersOf returns the handlers of some kinds. A handler that is added later starts
// with a later snapshot. It is called with Replica.mu held.
func handlersOf(kinds []*kind) []*handlerQueue {
	if len(kinds) == 1 {
		return kinds[0].handlers
	}
	var all []*handlerQueue
	for _, k := range kinds {
		all = append(all, k.handlers...)
	}
	return all
}

// deliverInitial gives the kind's objects to the handlers that have received nothing
// yet. It is called with Replica.mu held.
func (k *kind) deliverInitial() {
	if len(k.handlers) == 0 {
		return
	}
	s := k.replica.Snapshot()
	for _, q := range k.handlers {
		q.setInitial(s.kind(k).objects, s.revision)
	}
}

func (r *Replica) addHandler(q *handlerQueue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q.kind.handlers = append(q.kind.handlers, q)
	if s := r.Snapshot(); s.kind(q.kind).objects != nil {
		q.setInitial(s.kind(q.kind).objects, s.revision)
	}
	if r.launch != nil {
		r.launch(q)
	}
}

func (r *Replica) removeHandler(q *handlerQueue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q.kind.handlers = slices.DeleteFunc(slices.Clone(q.kind.handlers), func(other *handlerQueue) bool { return other == q })
}

// markRunning returns an error if the replica runs already.
func (r *Replica) markRunning() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running {
		return errRunning
	}
	r.running = true
	return nil
}

func (r *Replica) markStopped() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = false
}

// startHandlers starts a goroutine for each handler. stop ends them and waits for them.
func (r *Replica) startHandlers(ctx context.Context) (stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	var handlers sync.WaitGroup
	r.launch = func(q *handlerQueue) { handlers.Go(func() { q.run(ctx) }) }
	for _, k := range r.kinds {
		for _, q := range k.handlers {
			r.launch(q)
		}
	}
	return func() {
		r.mu.Lock()
		r.launch = nil // also keeps the group from growing while it is waited for
		r.mu.Unlock()
		cancel()
		handlers.Wait()
	}
}

// applyFilter returns what the filter leaves of the changes of the queue's kind.
func (q *handlerQueue) applyFilter(changes []change) []change {
	var left []change
	for _, c := range changes {
		if c.kind != q.kind {
			continue
		}
		if c, ok := q.applyFilterTo(c); ok {
			left = append(left, c)
		}
	}
	return left
}

// applyFilterTo returns what the filter leaves of a change, and false if that is nothing.
func (q *handlerQueue) applyFilterTo(c change) (change, bool) {
	if q.filter == nil {
		return c, true
	}
	left, err := q.filter(c)
	if n := q.failures.add(err); n > 0 {
		q.log().Error(q.kind.replica.withoutContent(err), "filter failed; the change passes", "key", c.key, "revision", c.revision, "failures", n)
	}
	return left, left.old != nil || left.new != nil
}

// failureCount counts the failures of a filter, which may come with every change.
type failureCount struct{ n atomic.Int64 }

// add counts a failure. It returns the number if that is worth a log line: at the first
// failure and at each doubling. Otherwise it returns 0.
func (f *failureCount) add(err error) int64 {
	if err == nil {
		return 0
	}
	if n := f.n.Add(1); n&(n-1) == 0 {
		return n
	}
	return 0
}
