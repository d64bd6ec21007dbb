package informer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// follow applies what the watch brings until it ends. What it starts in asking
// ends with ctx.
func (f *reflector) watch(ctx context.Context, w *etcd.Watch, asking *sync.WaitGroup) error {
	p := f.newProgress(w, asking)
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

// wentBack has the replica list when somebody saw etcd at a revision before that
// of a snapshot. A look may come too late to see it: etcd goes on.
func (f *reflector) checkRegression() error {
	f.replica.mu.Lock()
	defer f.replica.mu.Unlock()
	if f.replica.seenEpoch <= f.replica.epoch {
		return nil
	}
	f.relistReason = reasonRegressed
	return fmt.Errorf("etcd was seen at a revision before the replica's, %d: etcd was wiped or restored", f.replica.Snapshot().revision)
}

// progress asks etcd how far a watch has come, for those who wait for a revision
// that brings no event.
type progress struct {
	replica *Replica
	watch   *etcd.Watch
	timer   clock.Timer
	delay   time.Duration // until etcd is asked once more
	armed   bool          // the timer runs for somebody for whom it was not asked yet

	// etcd's client takes a request only while it is connected. Waiting for
	// that is left to a goroutine, at most one.
	requested bool
	answers   chan error
	requests  *sync.WaitGroup
}

func (f *reflector) newProgress(w *etcd.Watch, asking *sync.WaitGroup) *progress {
	return &progress{
		replica: f.replica, watch: w, requests: asking, answers: make(chan error, 1),
		// Somebody may have begun to wait while there was no watch.
		timer: f.replica.clock.NewTimer(f.replica.timing.progress), delay: f.replica.timing.progress, armed: true,
	}
}

// soon says that somebody waits.
func (p *progress) onWaiter() {
	if !p.armed {
		p.armed, p.delay = true, p.replica.timing.progress
		p.timer.Reset(p.delay)
	}
}

// ask asks if somebody waits still.
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

// checks finds out, again and again, whether etcd still has what the replica has
// seen, and whether a silent watch is alive. Etcd is asked beside the watch, so
// that a slow answer delays nothing.
type checks struct {
	reflector *reflector
	replica   *Replica
	progress  *progress
	timer     clock.Timer
	probes    chan *probe

	heard bool  // something came since the last check
	asked int64 // the revision that the watch was last asked to reach
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

// judgeSilence is told etcd's revision of some moments ago.
func (c *checks) checkProgress(now int64) error {
	heard := c.heard
	c.heard = false
	at := c.replica.Snapshot().revision
	switch {
	case now <= at:
		c.asked = 0
		return nil
	case heard: // it lives, but what it brings may be older
		c.asked = 0
	case c.asked > at:
		return fmt.Errorf("the watch is stuck: asked for revision %d, it stays at %d", c.asked, at)
	default:
		c.asked = now
	}
	c.progress.request()
	return nil
}
