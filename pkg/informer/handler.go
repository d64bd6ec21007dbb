package informer

import (
	"context"
	"runtime/debug"
	"sync"

	"github.com/homeostat/homeostat/pkg/store"
)

// Event is a change that a handler is told of.
type Event[T store.Object] = store.Event[T]

// Handler is told what happens to the objects of one kind, one call at a time.
// Objects are shared: change only copies. The handler may take its time, which
// harms no other; it must return when ctx is done, which it is when the handler
// is removed or the replica stops. What a handler that panicked was told counts
// as told.
type Handler[T store.Object] func(ctx context.Context, e Event[T])

// Registration is a handler's place in a replica.
type Registration struct {
	listener *listener
}

// Remove ends the calls of the handler; one that is running is not waited for,
// so that a handler may remove itself. It may be called more than once.
func (r *Registration) Remove() { r.listener.remove() }

// Backlog returns how many changes the handler was not told yet.
func (r *Registration) Backlog() int { return r.listener.backlog() }

// AddHandler has a handler told of every object that there is, as Added events
// with Initial set, and then of every change: each once, in the order of
// revisions, beginning with the very next after the state that it was first
// told. A handler that falls far behind is told the net change of an object
// instead of each.
//
// It can be called at any time. The calls begin when the replica runs and has
// listed.
func (i *Informer[T]) AddHandler(handle Handler[T]) *Registration {
	l := &listener{
		kind: i.kind,
		last: map[string]int{},
		wake: make(chan struct{}, 1),
		gone: make(chan struct{}),
		call: func(ctx context.Context, c change, initial bool) { handle(ctx, eventOf[T](c, initial)) },
	}
	i.replica.addListener(l)
	return &Registration{l}
}

func eventOf[T store.Object](c change, initial bool) Event[T] {
	e := Event[T]{Revision: c.revision, Initial: initial}
	switch {
	case c.new == nil:
		e.Type, e.Object = store.Deleted, c.old.obj.(T)
	case c.old == nil:
		e.Type, e.Object = store.Added, c.new.obj.(T)
	default:
		e.Type, e.Object, e.Old = store.Modified, c.new.obj.(T), c.old.obj.(T)
	}
	return e
}

// backlogLimit is how many changes may wait for a handler before the changes of
// one object are told as one. Beyond it, the backlog grows only with the number
// of objects.
const backlogLimit = 4096

// listener carries changes from the replica to one handler.
type listener struct {
	kind *kind
	call func(ctx context.Context, c change, initial bool)
	wake chan struct{} // has an element when there is something to tell
	gone chan struct{} // closed by remove

	mu      sync.Mutex
	removed bool
	cancel  context.CancelFunc // of the running handler's context
	begun   *Snapshot          // what to tell first; set once, cleared when told
	started bool               // begun was set: changes count from then on
	// queue holds the changes that were not told, in order; an empty key marks
	// one that was joined with a later one. base is the number of the first.
	queue []change
	base  int
	live  int
	last  map[string]int // the number of each key's last change
}

func (r *Replica) addListener(l *listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.kind.listeners = append(l.kind.listeners, l)
	if l.kind.objects != nil {
		l.begin(r.Snapshot())
	}
	if r.ctx != nil {
		r.startListener(l)
	}
}

// begin has the handlers that know nothing yet told a snapshot first.
func (k *kind) begin(s *Snapshot) {
	for _, l := range k.listeners {
		l.begin(s)
	}
}

func (k *kind) tell(c change) {
	for _, l := range k.listeners {
		l.add(c)
	}
}

func (l *listener) begin(s *Snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.started {
		l.started, l.begun = true, s
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
	if n, ok := l.last[c.key]; ok && l.live >= backlogLimit {
		pending := &l.queue[n-l.base]
		c.old = pending.old
		*pending = change{}
		l.live--
		delete(l.last, c.key)
		if c.old == nil && c.new == nil {
			return // it came and went unseen
		}
	}
	l.last[c.key] = l.base + len(l.queue)
	l.queue = append(l.queue, c)
	l.live++
	l.compact()
	signal(l.wake)
}

// compact drops the joined changes once they are the greater part.
func (l *listener) compact() {
	if len(l.queue) < backlogLimit || len(l.queue) < 2*l.live {
		return
	}
	kept := make([]change, 0, l.live)
	for _, c := range l.queue {
		if c.key != "" {
			kept = append(kept, c)
		}
	}
	l.queue = kept
	for n, c := range kept {
		l.last[c.key] = l.base + n
	}
}

// next takes out the oldest change.
func (l *listener) next() (change, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > 0 {
		c := l.queue[0]
		l.queue[0] = change{}
		l.queue = l.queue[1:]
		if c.key != "" {
			if l.last[c.key] == l.base {
				delete(l.last, c.key)
			}
			l.live--
		}
		l.base++
		if c.key != "" {
			return c, true
		}
	}
	l.queue = nil
	return change{}, false
}

func (l *listener) takeBegun() *Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.begun
	l.begun = nil
	return s
}

func (l *listener) backlog() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.live
	if l.begun != nil {
		n += l.begun.kind(l.kind).len()
	}
	return n
}

// run tells the handler until it is removed or ctx is done.
func (l *listener) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	l.cancel = cancel
	l.mu.Unlock()
	for !l.over(ctx) {
		if s := l.takeBegun(); s != nil {
			for e := range s.kind(l.kind).list(ListOptions{}) {
				if l.over(ctx) {
					return
				}
				l.tell(ctx, change{l.kind, e.key, nil, e, e.rev}, true)
			}
		}
		c, ok := l.next()
		if !ok {
			select {
			case <-l.wake:
			case <-l.gone:
			case <-ctx.Done():
			}
			continue
		}
		l.tell(ctx, c, false)
	}
}

func (l *listener) over(ctx context.Context) bool {
	select {
	case <-l.gone:
		return true
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

// tell calls the handler. A panic is the handler's own affair: it is logged,
// and the next change is told.
func (l *listener) tell(ctx context.Context, c change, initial bool) {
	defer func() {
		if p := recover(); p != nil {
			l.kind.replica.log.Error(nil, "handler panicked", "kind", l.kind.info.GroupVersionKind.Kind,
				"key", c.key, "revision", c.revision, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	l.call(ctx, c, initial)
}

func (l *listener) remove() {
	l.mu.Lock()
	removed := l.removed
	l.removed, l.queue, l.begun, l.live = true, nil, nil, 0
	cancel := l.cancel
	l.mu.Unlock()
	if removed {
		return
	}
	if cancel != nil {
		cancel()
	}
	close(l.gone)
	l.kind.replica.dropListener(l)
}

func (r *Replica) dropListener(l *listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := make([]*listener, 0, len(l.kind.listeners))
	for _, other := range l.kind.listeners {
		if other != l {
			kept = append(kept, other)
		}
	}
	l.kind.listeners = kept
}

func (r *Replica) startHandlers(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx != nil {
		return errRunning
	}
	r.ctx, r.stop = context.WithCancel(ctx)
	for _, k := range r.kinds {
		for _, l := range k.listeners {
			r.startListener(l)
		}
	}
	return nil
}

// startListener is called with mu held, while the replica runs.
func (r *Replica) startListener(l *listener) {
	ctx := r.ctx
	r.wg.Go(func() { l.run(ctx) })
}

func (r *Replica) stopHandlers() {
	r.mu.Lock()
	r.stop()
	r.ctx = nil
	r.mu.Unlock()
	r.wg.Wait()
}
