package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/homeostat/homeostat/pkg/informer"
)

// syncReport is how often a manager says that it still waits for etcd.
const syncReport = 10 * time.Second

// Run starts the replicas, waits until they have synced, campaigns for the
// leadership if there is one, and starts the controllers and what was added with
// Add. When ctx is done or something fails it stops those, gives up the
// leadership, and then stops the runnables that are the Last, and the replicas. It
// returns when everything that it started has ended: nil when ctx was done,
// otherwise the first failure. A manager runs once.
func (m *Manager) Run(ctx context.Context) error {
	if err := m.begin(); err != nil {
		return err
	}
	serve, err := m.listen()
	if err != nil {
		return err
	}
	// The replicas outlive the controllers: what is under way may still read.
	baseCtx, stopBase := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBase()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var base errgroup.Group
	start := func(run func(context.Context) error) {
		base.Go(func() error {
			defer stop() // without it nothing can go on
			return run(baseCtx)
		})
	}
	start(serve)
	for _, r := range m.replicas {
		start(r.run)
	}
	err = m.runAll(ctx)
	stopBase()
	return cmp.Or(err, base.Wait())
}

func (r namedReplica) run(ctx context.Context) error {
	err := r.replica.Run(ctx)
	if err != nil {
		return fmt.Errorf("replica %q: %w", r.name, err)
	}
	return err
}

func (m *Manager) begin() error {
	for name := range m.options.Controllers {
		if !slices.ContainsFunc(m.controllers(), func(c part) bool { return c.name == name }) {
			return fmt.Errorf("manager: the options name a controller %q, which was not made", name)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.started {
		return errors.New("manager: Run was called before")
	}
	m.started = true
	return nil
}

func (m *Manager) runAll(ctx context.Context) error {
	for _, r := range m.replicas {
		if !m.awaitSync(ctx, r.replica) {
			return nil // stopped before it began
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lastCtx, stopLast := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLast()
	var last errgroup.Group
	last.Go(func() error {
		defer stop() // when one has failed
		return m.runUnfenced(lastCtx, func(p part) bool { return p.last })
	})
	err := m.runMost(ctx)
	stopLast()
	return cmp.Or(err, last.Wait())
}

// runMost runs all but what is to be stopped last.
func (m *Manager) runMost(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return m.runUnfenced(ctx, func(p part) bool { return !p.last && !p.sharded && !m.led(p) })
	})
	if m.election != nil {
		group.Go(func() error { return m.election.run(ctx, m.lead) })
	}
	if sharded := m.partsOf(func(p part) bool { return p.sharded }); len(sharded) > 0 {
		group.Go(func() error {
			return m.sharder.run(ctx, func(ctx context.Context) error {
				return m.runParts(ctx, context.WithoutCancel(ctx), sharded)
			})
		})
	}
	return group.Wait()
}

// runUnfenced runs parts whose writes need no fence.
func (m *Manager) runUnfenced(ctx context.Context, which func(part) bool) error {
	return m.runParts(m.unfenced(ctx), m.unfenced(context.WithoutCancel(ctx)), m.partsOf(which))
}

// led reports whether a part runs under the leadership.
func (m *Manager) led(p part) bool { return m.election != nil && !p.everyProcess && !p.sharded }

func (m *Manager) partsOf(belongs func(part) bool) []part {
	var parts []part
	for _, p := range m.parts {
		if belongs(p) {
			parts = append(parts, p)
		}
	}
	return parts
}

// lead runs what is led for a term. It begins when the replica has what the
// leaders before wrote: all of that is older than the term.
func (m *Manager) lead(ctx context.Context, t *term) error {
	if len(m.replica.Status().Kinds) > 0 && m.replica.WaitForRevision(ctx, t.fence.CreateRevision) != nil {
		return nil // the term is over already
	}
	return m.runParts(m.inTerm(ctx, t), m.inTerm(t.ctx, t), m.partsOf(m.led))
}

// runParts runs parts until ctx is done or one of them fails, and returns when
// all have ended. That there is nothing left to run is no reason to return: a
// leadership would be won again and again.
func (m *Manager) runParts(ctx, work context.Context, parts []part) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		<-ctx.Done()
		return nil
	})
	for _, p := range parts {
		group.Go(func() error { return p.run(ctx, work) })
	}
	return group.Wait()
}

// awaitSync waits until a replica has synced, and does not do so in silence.
// It returns false when ctx is done.
func (m *Manager) awaitSync(ctx context.Context, r *informer.Replica) bool {
	for {
		attempt, cancel := context.WithTimeout(ctx, syncReport)
		err := r.WaitForSync(attempt)
		cancel()
		if err == nil || ctx.Err() != nil {
			return ctx.Err() == nil
		}
		m.log.Info("the controllers wait for a replica to have listed etcd",
			"endpoints", r.Store().Client().Endpoints(), "prefix", r.Store().Prefix(), "cause", err.Error())
	}
}

// call runs a runnable. A panic of it is a failure.
func (m *Manager) call(ctx context.Context, name string, run func(context.Context) error) error {
	err := guard("it", func() error { return sound(run(ctx)) })
	var p *panicError
	if errors.As(err, &p) {
		m.log.Error(err, "runnable failed", "runnable", name, "stack", p.stack)
	}
	return err
}
