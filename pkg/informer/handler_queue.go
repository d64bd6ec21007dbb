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
	debouncer *debouncer    // instead of call
	wake      chan struct{} // has an element if there may be something to deliver
	removedCh chan struct{} // closed by remove

	mu          sync.Mutex // guards the fields below
	removed     bool
	cancel      context.CancelFunc // of the running handler's context
	started     bool               // setInitial was called: later changes are enqueued
	initial     *initialObjects    // delivered first; nil afterwards
	backlog     backlog
	delivering  bool // a change was popped from the backlog and is being delivered
	undelivered int  // changes or batches up to the watermark that are not delivered yet

	// For a batch handler: when the first and the last of the changes in the
	// backlog came, and the revision up to which they lead.
	firstAt, lastAt time.Time
	batchRevision   int64
}

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
		kind: k, call: call, backlog: newBacklog(backlogLimit),
		wake: make(chan struct{}, 1), removedCh: make(chan struct{}),
	}
}

// setInitial makes the kind's objects at a revision the first that the handler receives.
// It does nothing if that has happened before. The tree is never changed.
func (l *handlerQueue) setInitial(objects *btree.Map[string, *entry], revision int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started || l.removed {
		return
	}
	l.started = true
	if objects.Len() > 0 || l.debouncer != nil {
		l.initial = &initialObjects{objects, revision, objects.Iter(), objects.Len()}
		signal(l.wake)
	}
}

// enqueue adds the changes that lead to a revision, and ignores those of other kinds. It
// does not block, except in the filter.
func (l *handlerQueue) enqueue(changes []change, revision int64) {
	if l.filter != nil {
		changes = l.applyFilter(changes)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed || !l.started {
		return
	}
	idle, took := l.backlog.live == 0, false
	for _, c := range changes {
		if c.kind == l.kind {
			l.backlog.push(c)
			took = true
		}
	}
	if took && l.debouncer != nil {
		l.noteArrival(idle, revision)
	}
	if idle && l.backlog.live > 0 {
		signal(l.wake)
	}
}

// next removes and returns what to deliver next.
func (l *handlerQueue) next() (c change, initial, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.initial; i != nil {
		i.next.Next()
		if i.left--; i.left == 0 {
			l.initial = nil
		}
		e := i.next.Value()
		return change{l.kind, e.key, nil, e, e.rev}, true, true
	}
	c, ok = l.backlog.pop()
	l.delivering = ok
	return c, false, ok
}

// markDelivered is called when the handler has returned. A handler whose context is done
// may have skipped the change, so that does not count.
func (l *handlerQueue) markDelivered(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delivering = false
	l.undelivered = max(0, l.undelivered-1)
}

// setWatermark counts what the handler has not received yet, for reachedWatermark.
// Initial objects do not count: after a restart from a checkpoint they are delivered
// again.
func (l *handlerQueue) setWatermark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.debouncer != nil {
		l.undelivered = min(1, l.backlog.live) // a batch has all
	} else {
		l.undelivered = l.backlog.setWatermark()
	}
	if l.delivering {
		l.undelivered++
	}
}

// reachedWatermark reports whether the handler has received all changes up to the last
// watermark, or was removed.
func (l *handlerQueue) reachedWatermark() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.removed || l.undelivered == 0 || l.backlog.live == 0 && !l.delivering
}

func (l *handlerQueue) pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.backlog.live
	if l.initial != nil {
		n += l.initial.left
	}
	return n
}

// run delivers until the handler is removed or ctx is done. It may be called again after
// it has returned, and continues where it was.
func (l *handlerQueue) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	l.cancel, l.delivering = cancel, false
	l.mu.Unlock()
	for !l.isRemoved() && ctx.Err() == nil {
		if l.debouncer != nil {
			l.deliverNextBatch(ctx)
		} else {
			l.deliverNext(ctx)
		}
	}
}

// deliverNext delivers one change, or waits until there is something to do.
func (l *handlerQueue) deliverNext(ctx context.Context) {
	c, initial, ok := l.next()
	if initial {
		c, ok = l.applyFilterTo(c)
	}
	switch {
	case ok:
		if l.deliver(ctx, c, initial); !initial {
			l.markDelivered(ctx)
		}
	case !initial:
		l.wait(ctx, nil)
	}
}

// wait waits until there is something to do.
func (l *handlerQueue) wait(ctx context.Context, due <-chan time.Time) {
	select {
	case <-l.wake:
	case <-due:
	case <-l.removedCh:
	case <-ctx.Done():
	}
}

// deliver calls the handler: twice if an object was deleted and another one of the same
// name was created.
func (l *handlerQueue) deliver(ctx context.Context, c change, initial bool) {
	for step := range c.steps() {
		if l.isRemoved() {
			return
		}
		l.tryCall(ctx, step, initial)
	}
}

// tryCall calls the handler and logs a panic. The next change is delivered all the same.
func (l *handlerQueue) tryCall(ctx context.Context, c change, initial bool) {
	defer func() {
		if p := recover(); p != nil {
			l.panicked(p, "key", c.key, "revision", c.revision)
		}
	}()
	l.call(ctx, c, initial)
}

func (l *handlerQueue) panicked(p any, over ...any) {
	l.log().WithValues(over...).Error(nil, "handler panicked", "panic", p, "stack", string(debug.Stack()))
}

func (l *handlerQueue) log() logr.Logger {
	return l.kind.replica.log.WithValues("kind", l.kind.info.GroupVersionKind.Kind)
}

func (l *handlerQueue) isRemoved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.removed
}

func (l *handlerQueue) remove() {
	l.mu.Lock()
	removed := l.removed
	l.removed, l.initial, l.backlog = true, nil, newBacklog(backlogLimit)
	cancel := l.cancel
	l.mu.Unlock()
	if removed {
		return
	}
	close(l.removedCh)
	if cancel != nil {
		cancel()
	}
	l.kind.replica.removeHandler(l)
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
	for _, l := range handlers {
		l.enqueue(changes, revision)
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
	for _, l := range k.handlers {
		l.setInitial(s.kind(k).objects, s.revision)
	}
}

func (r *Replica) addHandler(l *handlerQueue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.kind.handlers = append(l.kind.handlers, l)
	if s := r.Snapshot(); s.kind(l.kind).objects != nil {
		l.setInitial(s.kind(l.kind).objects, s.revision)
	}
	if r.launch != nil {
		r.launch(l)
	}
}

func (r *Replica) removeHandler(l *handlerQueue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.kind.handlers = slices.DeleteFunc(slices.Clone(l.kind.handlers), func(other *handlerQueue) bool { return other == l })
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
	r.launch = func(l *handlerQueue) { handlers.Go(func() { l.run(ctx) }) }
	for _, k := range r.kinds {
		for _, l := range k.handlers {
			r.launch(l)
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
func (l *handlerQueue) applyFilter(changes []change) []change {
	var left []change
	for _, c := range changes {
		if c.kind != l.kind {
			continue
		}
		if c, ok := l.applyFilterTo(c); ok {
			left = append(left, c)
		}
	}
	return left
}

// applyFilterTo returns what the filter leaves of a change, and false if that is nothing.
func (l *handlerQueue) applyFilterTo(c change) (change, bool) {
	if l.filter == nil {
		return c, true
	}
	left, err := l.filter(c)
	if n := l.failures.add(err); n > 0 {
		l.log().Error(err, "a filter cannot tell; the change passes", "key", c.key, "revision", c.revision, "failures", n)
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
