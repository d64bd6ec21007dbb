package informer

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/tidwall/btree"
)

// listener carries changes from the replica to one handler.
type listener struct {
	kind *kind
	call func(ctx context.Context, c change, initial bool)
	wake chan struct{} // has an element when there is something to tell
	gone chan struct{} // closed by remove

	mu      sync.Mutex
	removed bool
	cancel  context.CancelFunc // of the running handler's context
	started bool               // initial was set: changes count from then on
	initial *initialObjects    // what to tell first; nil when it was told
	backlog backlog
}

// initialObjects is what a handler is told first, and how far it was.
type initialObjects struct {
	next btree.MapIter[string, *entry]
	left int
}

func newListener(k *kind, call func(ctx context.Context, c change, initial bool)) *listener {
	return &listener{
		kind: k, call: call, backlog: newBacklog(backlogLimit),
		wake: make(chan struct{}, 1), gone: make(chan struct{}),
	}
}

// begin has a handler that knows nothing yet told a kind's objects first. The
// tree is never changed.
func (l *listener) begin(objects *btree.Map[string, *entry]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started || l.removed {
		return
	}
	l.started = true
	if objects.Len() > 0 {
		l.initial = &initialObjects{objects.Iter(), objects.Len()}
		signal(l.wake)
	}
}

// add takes in a change. It never blocks.
func (l *listener) add(c change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed || !l.started {
		return
	}
	l.backlog.push(c)
	signal(l.wake)
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
	return c, false, ok
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
	l.cancel = cancel
	l.mu.Unlock()
	for !l.isRemoved() && ctx.Err() == nil {
		if c, initial, ok := l.next(); ok {
			l.tell(ctx, c, initial)
			continue
		}
		select {
		case <-l.wake:
		case <-l.gone:
		case <-ctx.Done():
		}
	}
}

// tell calls the handler, twice for an object that has taken the place of
// another of the same name.
func (l *listener) tell(ctx context.Context, c change, initial bool) {
	if c.old != nil && c.new != nil && c.old.obj.GetUID() != c.new.obj.GetUID() {
		l.tryCall(ctx, change{c.kind, c.key, c.old, nil, c.revision}, initial)
		if l.isRemoved() {
			return
		}
		c.old = nil
	}
	l.tryCall(ctx, c, initial)
}

// tryCall calls the handler. A panic is the handler's own affair: it is logged,
// and the next change is told.
func (l *listener) tryCall(ctx context.Context, c change, initial bool) {
	defer func() {
		if p := recover(); p != nil {
			l.kind.replica.log.Error(nil, "handler panicked", "kind", l.kind.info.GroupVersionKind.Kind,
				"key", c.key, "revision", c.revision, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	l.call(ctx, c, initial)
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

func (k *kind) tell(c change) {
	for _, l := range k.listeners {
		l.add(c)
	}
}

// begin has the handlers that know nothing yet told what is there. It is called
// with Replica.mu held.
func (k *kind) begin() {
	if len(k.listeners) == 0 {
		return
	}
	objects := k.replica.Snapshot().kind(k).objects
	for _, l := range k.listeners {
		l.begin(objects)
	}
}

func (r *Replica) addListener(l *listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.kind.listeners = append(l.kind.listeners, l)
	if objects := r.Snapshot().kind(l.kind).objects; objects != nil {
		l.begin(objects)
	}
	if r.launch != nil {
		r.launch(l)
	}
}

func (r *Replica) dropListener(l *listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.kind.listeners = slices.DeleteFunc(l.kind.listeners, func(other *listener) bool { return other == l })
}

// startHandlers marks the replica as running. stop waits until all handlers have
// returned.
func (r *Replica) startHandlers(ctx context.Context) (stop func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running {
		return nil, errRunning
	}
	r.running = true
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
		r.mu.Lock()
		r.running = false
		r.mu.Unlock()
	}, nil
}
