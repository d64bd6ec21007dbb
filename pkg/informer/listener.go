package informer

import (
	"context"
	"iter"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/tidwall/btree"
)

// listener carries changes from the replica to one handler.
type listener struct {
	kind   *kind
	filter func(change) (change, error) // nil: everything passes
	faults faults                       // of the filter
	call   func(ctx context.Context, c change, initial bool)
	batch  *batching     // instead of call
	wake   chan struct{} // has an element when there is something to tell
	gone   chan struct{} // closed by remove

	mu      sync.Mutex // guards all that follows
	removed bool
	cancel  context.CancelFunc // of the running handler's context
	started bool               // initial was set: changes count from then on
	initial *initialObjects    // what to tell first; nil when it was told
	backlog backlog
	telling bool // a change of the backlog was taken out, and is not told yet
	owed    int  // how many of the changes, or batches, up to the last mark are not told yet

	// For a batch handler: when the first and the last of the changes in the
	// backlog came, and the revision up to which they lead.
	firstAt, lastAt time.Time
	batchRevision   int64
}

// initialObjects is what a handler is told first, and how far it was.
type initialObjects struct {
	objects  *btree.Map[string, *entry] // never changed
	revision int64
	next     btree.MapIter[string, *entry]
	left     int
}

func newListener(k *kind, call func(ctx context.Context, c change, initial bool)) *listener {
	return &listener{
		kind: k, call: call, backlog: newBacklog(backlogLimit),
		wake: make(chan struct{}, 1), gone: make(chan struct{}),
	}
}

// begin has a handler that knows nothing yet told a kind's objects first, as
// they are at a revision. The tree is never changed.
func (l *listener) begin(objects *btree.Map[string, *entry], revision int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started || l.removed {
		return
	}
	l.started = true
	if objects.Len() > 0 || l.batch != nil {
		l.initial = &initialObjects{objects, revision, objects.Iter(), objects.Len()}
		signal(l.wake)
	}
}

// take takes in what has led up to a revision, as a whole; changes of other
// kinds are none of its business. It never blocks, save in the filter.
func (l *listener) take(changes []change, revision int64) {
	if l.filter != nil {
		changes = l.filtered(changes)
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
	if took && l.batch != nil {
		l.arrived(idle, revision)
	}
	if idle && l.backlog.live > 0 {
		signal(l.wake)
	}
}

// next takes out what is to be told next.
func (l *listener) next() (c change, initial, ok bool) {
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
	l.telling = ok
	return c, false, ok
}

// settle is called when the handler was told changes that were taken out of the
// backlog. One that was interrupted may have let them pass.
func (l *listener) settle(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.telling = false
	l.owed = max(0, l.owed-1)
}

// mark remembers what the handler was not told yet, for toldMarked. What is to be
// told first is none of it: who begins with a checkpoint is told it again.
func (l *listener) mark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.batch != nil {
		l.owed = min(1, l.backlog.live) // a batch has all
	} else {
		l.owed = l.backlog.mark()
	}
	if l.telling {
		l.owed++
	}
}

// toldMarked reports whether the handler was told all that it was not when mark
// was last called, or need not be told any more.
func (l *listener) toldMarked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.removed || l.owed == 0 || l.backlog.live == 0 && !l.telling
}

func (l *listener) pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.backlog.live
	if l.initial != nil {
		n += l.initial.left
	}
	return n
}

// run tells the handler until it is removed or ctx is done. It may be called
// again once it has returned, and goes on where it was.
func (l *listener) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	l.cancel, l.telling = cancel, false
	l.mu.Unlock()
	for !l.isRemoved() && ctx.Err() == nil {
		if l.batch != nil {
			l.stepBatch(ctx)
		} else {
			l.step(ctx)
		}
	}
}

// step tells the handler one change, or waits until there is something to do.
func (l *listener) step(ctx context.Context) {
	c, initial, ok := l.next()
	if initial {
		c, ok = l.pass(c)
	}
	switch {
	case ok:
		if l.tell(ctx, c, initial); !initial {
			l.settle(ctx)
		}
	case !initial:
		l.wait(ctx, nil)
	}
}

// wait waits until there is something to do.
func (l *listener) wait(ctx context.Context, due <-chan time.Time) {
	select {
	case <-l.wake:
	case <-due:
	case <-l.gone:
	case <-ctx.Done():
	}
}

// tell calls the handler, twice for an object that has taken the place of
// another of the same name.
func (l *listener) tell(ctx context.Context, c change, initial bool) {
	for step := range c.steps() {
		if l.isRemoved() {
			return
		}
		l.tryCall(ctx, step, initial)
	}
}

// tryCall calls the handler. A panic is the handler's own affair: it is logged,
// and the next change is told.
func (l *listener) tryCall(ctx context.Context, c change, initial bool) {
	defer func() {
		if p := recover(); p != nil {
			l.panicked(p, "key", c.key, "revision", c.revision)
		}
	}()
	l.call(ctx, c, initial)
}

func (l *listener) panicked(p any, over ...any) {
	l.log().WithValues(over...).Error(nil, "handler panicked", "panic", p, "stack", string(debug.Stack()))
}

func (l *listener) log() logr.Logger {
	return l.kind.replica.log.WithValues("kind", l.kind.info.GroupVersionKind.Kind)
}

func (l *listener) isRemoved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.removed
}

func (l *listener) remove() {
	l.mu.Lock()
	removed := l.removed
	l.removed, l.initial, l.backlog = true, nil, newBacklog(backlogLimit)
	cancel := l.cancel
	l.mu.Unlock()
	if removed {
		return
	}
	close(l.gone)
	if cancel != nil {
		cancel()
	}
	l.kind.replica.dropListener(l)
}

// steps yields the change, or the two that it is when an object has taken the
// place of another of the same name.
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

// tell has listeners take in what has led up to a revision.
func tell(listeners []*listener, changes []change, revision int64) {
	if len(changes) == 0 {
		return
	}
	for _, l := range listeners {
		l.take(changes, revision)
	}
}

// listenersOf returns those of some kinds. Whoever is not among them begins with
// a snapshot that is published later. It is called with mu held.
func listenersOf(kinds []*kind) []*listener {
	if len(kinds) == 1 {
		return kinds[0].listeners
	}
	var all []*listener
	for _, k := range kinds {
		all = append(all, k.listeners...)
	}
	return all
}

// begin has the handlers that know nothing yet told what is there. It is called
// with Replica.mu held.
func (k *kind) begin() {
	if len(k.listeners) == 0 {
		return
	}
	s := k.replica.Snapshot()
	for _, l := range k.listeners {
		l.begin(s.kind(k).objects, s.revision)
	}
}

func (r *Replica) addListener(l *listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.kind.listeners = append(l.kind.listeners, l)
	if s := r.Snapshot(); s.kind(l.kind).objects != nil {
		l.begin(s.kind(l.kind).objects, s.revision)
	}
	if r.launch != nil {
		r.launch(l)
	}
}

func (r *Replica) dropListener(l *listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.kind.listeners = slices.DeleteFunc(slices.Clone(l.kind.listeners), func(other *listener) bool { return other == l })
}

// begin marks the replica as running, until end.
func (r *Replica) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running {
		return errRunning
	}
	r.running = true
	return nil
}

func (r *Replica) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = false
}

// startHandlers has the handlers told. stop waits until all have returned.
func (r *Replica) startHandlers(ctx context.Context) (stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	var handlers sync.WaitGroup
	r.launch = func(l *listener) { handlers.Go(func() { l.run(ctx) }) }
	for _, k := range r.kinds {
		for _, l := range k.listeners {
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
