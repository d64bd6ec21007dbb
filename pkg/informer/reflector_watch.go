package informer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// watch applies the responses of a watch until it ends. The goroutines that it
// adds to requests end with ctx.
func (f *reflector) watch(ctx context.Context, w *etcd.Watch, requests *sync.WaitGroup) error {
	p := f.newProgress(w, requests)
	defer p.timer.Stop()
	c := f.newChecks(p)
	defer c.timer.Stop()
	for {
		select {
		case resp, ok := <-w.Responses:
			if err := f.receive(watchResponse{resp, ok}, w.Responses); err != nil {
				return err
			}
			c.heard = true
		case <-f.replica.kindAdded:
			f.relistReason = reasonNewKind
			return errNewKind
		case <-f.replica.waiterAdded:
			p.onWaiter()
		case <-p.timer.C():
			p.tick()
		case err := <-p.answers:
			p.requested = false
			if err != nil {
				return fmt.Errorf("request progress: %w", err)
			}
		case <-f.replica.regressionSeen:
			if err := f.checkRegression(); err != nil {
				return err
			}
		case <-c.timer.C():
			c.start(ctx)
		case l := <-c.probes:
			if err := c.finish(ctx, l); err != nil {
				return err
			}
		}
	}
}

// checkRegression returns an error if a reader saw etcd at a revision before that of
// a snapshot. A probe may come too late to see it, because etcd's revision grows.
func (f *reflector) checkRegression() error {
	f.replica.mu.Lock()
	defer f.replica.mu.Unlock()
	if f.replica.seenEpoch <= f.replica.epoch {
		return nil
	}
	f.relistReason = reasonRegressed
	return fmt.Errorf("etcd was seen at a revision before the replica's, %d: etcd was wiped or restored", f.replica.Snapshot().revision)
}

// progress requests progress notifications from etcd while somebody waits for a
// revision that may bring no event. It belongs to the reflector's goroutine.
type progress struct {
	replica *Replica
	watch   *etcd.Watch
	timer   clock.Timer
	delay   time.Duration // until the next request
	armed   bool          // the timer runs for a waiter without a request yet

	// etcd's client accepts a request only while it is connected. A goroutine, at
	// most one, waits for that.
	requested bool
	answers   chan error
	requests  *sync.WaitGroup
}

func (f *reflector) newProgress(w *etcd.Watch, requests *sync.WaitGroup) *progress {
	return &progress{
		replica: f.replica, watch: w, requests: requests, answers: make(chan error, 1),
		// A waiter may have come while there was no watch.
		timer: f.replica.clock.NewTimer(f.replica.timing.progress), delay: f.replica.timing.progress, armed: true,
	}
}

// onWaiter starts the timer for a new waiter.
func (p *progress) onWaiter() {
	if !p.armed {
		p.armed, p.delay = true, p.replica.timing.progress
		p.timer.Reset(p.delay)
	}
}

// tick requests progress if somebody still waits.
func (p *progress) tick() {
	p.armed = false
	if p.replica.waiters.furthest() <= p.replica.Snapshot().revision {
		return
	}
	p.request()
	p.delay = min(2*p.delay, p.replica.timing.progressMax)
	p.timer.Reset(p.delay)
}

func (p *progress) request() {
	if p.requested {
		return
	}
	p.requested = true
	p.requests.Go(func() { p.answers <- p.watch.RequestProgress() })
}

// checks probes etcd at intervals: does it still have what the replica has seen, and
// is a silent watch alive? Probes run beside the watch, so that a slow answer
// delays nothing.
type checks struct {
	reflector *reflector
	replica   *Replica
	progress  *progress
	timer     clock.Timer
	probes    chan *probe

	heard bool  // a response came since the last check
	asked int64 // the revision at which progress was last requested
}

func (f *reflector) newChecks(p *progress) *checks {
	return &checks{reflector: f, replica: f.replica, progress: p, timer: f.replica.clock.NewTimer(f.replica.timing.idle), probes: make(chan *probe, 1)}
}

func (c *checks) start(ctx context.Context) {
	l := c.reflector.newProbe()
	c.progress.requests.Go(func() {
		l.run(ctx)
		c.probes <- l
	})
}

func (c *checks) finish(ctx context.Context, l *probe) error {
	if err := c.reflector.observe(l); err != nil {
		return err
	}
	if err := c.checkProgress(l.now); err != nil {
		return err
	}
	c.reflector.progressed = true
	c.timer.Reset(c.replica.timing.idle)
	return nil
}

// checkProgress compares the replica with etcd's revision of a moment ago.
func (c *checks) checkProgress(now int64) error {
	heard := c.heard
	c.heard = false
	at := c.replica.Snapshot().revision
	switch {
	case now <= at:
		c.asked = 0
		return nil
	case heard: // the watch is alive, but its responses may be older
		c.asked = 0
	case c.asked > at:
		return fmt.Errorf("the watch is stuck: asked for revision %d, it stays at %d", c.asked, at)
	default:
		c.asked = now
	}
	c.progress.request()
	return nil
}
