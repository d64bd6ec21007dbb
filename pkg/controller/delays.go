package controller

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// delays hands keys over later, each with the cause that it then has. A key has
// one delay at most: another one takes its place. client-go's delaying queue cannot
// do that, and its goroutine outlives its shutdown.
type delays[R comparable] struct {
	clock   clock.WithDelayedExecution
	enqueue func(R, Cause, class)

	mu      sync.Mutex
	stopped bool
	pending map[R]*delay
	ending  sync.WaitGroup // the delays whose end is not certain yet
}

type delay struct {
	cause Cause
	class class
	timer clock.Timer // nil until it runs
	over  bool        // it was replaced or cancelled, or has ended
}

func newDelays[R comparable](c clock.WithDelayedExecution, enqueue func(R, Cause, class)) *delays[R] {
	return &delays[R]{clock: c, enqueue: enqueue, pending: map[R]*delay{}}
}

// set has a key enqueued after a while, and not at any time that was set for
// it before.
func (d *delays[R]) set(key R, pause time.Duration, cause Cause, cl class) {
	next := &delay{cause: cause, class: cl}
	old, ok := d.replace(key, next)
	d.cancel(old)
	if !ok {
		return
	}
	// The clock is called without the lock, since it may call back at once.
	timer := d.clock.AfterFunc(pause, func() { d.fire(key, next) })
	d.mu.Lock()
	next.timer = timer
	over := next.over
	d.mu.Unlock()
	if over {
		d.cancel(next)
	}
}

// clear forgets the time that was set for a key.
func (d *delays[R]) clear(key R) {
	old, _ := d.replace(key, nil)
	d.cancel(old)
}

func (d *delays[R]) replace(key R, next *delay) (old *delay, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old = d.pending[key]; old != nil {
		old.over = true
		delete(d.pending, key)
	}
	if d.stopped || next == nil {
		return old, false
	}
	d.pending[key] = next
	d.ending.Add(1)
	return old, true
}

func (d *delays[R]) fire(key R, due *delay) {
	defer d.ending.Done()
	d.mu.Lock()
	over := due.over
	if !over {
		due.over = true
		delete(d.pending, key)
	}
	d.mu.Unlock()
	if !over {
		d.enqueue(key, due.cause, due.class)
	}
}

// cancel stops the timer of a delay that is over.
func (d *delays[R]) cancel(old *delay) {
	if old == nil {
		return
	}
	d.mu.Lock()
	timer := old.timer
	old.timer = nil
	d.mu.Unlock()
	if timer != nil && timer.Stop() {
		d.ending.Done()
	}
}

// stop cancels all delays, for good. It returns when nothing of them is left.
func (d *delays[R]) stop() {
	d.mu.Lock()
	d.stopped = true
	pending := d.pending
	d.pending = map[R]*delay{}
	for _, p := range pending {
		p.over = true
	}
	d.mu.Unlock()
	for _, p := range pending {
		d.cancel(p)
	}
	d.ending.Wait()
}
