package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// syncReportInterval is how often a manager logs that it still waits for etcd.
const syncReportInterval = 10 * time.Second

// SignalContext returns a context that is cancelled when the process gets an
// interrupt or SIGTERM. A second signal ends the process at once. Pass it to
// [Manager.Run].
func SignalContext() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx
}

// Run runs the manager until ctx is done or something fails. A manager runs once.
//
// Run starts the replicas and waits until they have synced. Then it campaigns for
// the leadership, if there is one, and starts the controllers and the runnables. To
// stop, it ends them in this order: the controllers and the other runnables, the
// leadership, the runnables with StopLast, and the replicas. It returns when
// everything that it started has ended: nil if ctx was done, or else the first
// failure.
//
// Run waits for reconciles and runnables even if they ignore that their context is
// done.
func (m *Manager) Run(ctx context.Context) error {
	if err := m.begin(); err != nil {
		return err
	}
	socket, err := m.listen()
	if err != nil {
		return err
	}
	// The replicas outlive the controllers, whose last reconciles may still read.
	baseCtx, stopBase := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBase()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var base errgroup.Group
	start := func(run func(context.Context) error) {
		base.Go(func() error {
			defer stop() // nothing can go on without it
			return run(baseCtx)
		})
	}
	if socket != nil {
		start(func(ctx context.Context) error { return m.serve(ctx, socket) })
	}
	start(func(ctx context.Context) error { m.members.Run(ctx); return nil })
	for _, r := range m.replicas {
		start(r.run)
	}
	err = m.runComponents(m.observeWrites(ctx))
	stopBase()
	return cmp.Or(err, base.Wait())
}

func (m *Manager) begin() error {
	for name := range m.options.Controllers {
		if !slices.ContainsFunc(m.controllers(), func(c component) bool { return c.name == name }) {
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

func (r namedReplica) run(ctx context.Context) error {
	if err := r.replica.Run(ctx); err != nil {
		return fmt.Errorf("replica %q: %w", r.name, err)
	}
	return nil
}

// runComponents runs all components once the replicas have synced, until ctx is done
// or one fails.
func (m *Manager) runComponents(ctx context.Context) error {
	for _, r := range m.replicas {
		if !m.awaitSync(ctx, r.replica) {
			return nil
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lastCtx, stopLast := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLast()
	var last errgroup.Group
	last.Go(func() error {
		defer stop() // in case one has failed
		return m.runUnfenced(lastCtx, func(c component) bool { return c.stopLast })
	})
	err := m.runUntilStopped(ctx)
	stopLast()
	return cmp.Or(err, last.Wait())
}

// runUntilStopped runs the components without stopLast.
func (m *Manager) runUntilStopped(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return m.runUnfenced(ctx, func(c component) bool { return !c.stopLast && !c.sharded && !m.isLed(c) })
	})
	if m.election != nil {
		group.Go(func() error { return m.election.run(ctx, m.lead) })
	}
	if sharded := m.componentsThat(func(c component) bool { return c.sharded }); len(sharded) > 0 {
		group.Go(func() error {
			return m.sharder.run(ctx, func(ctx context.Context) error {
				return runGroup(ctx, context.WithoutCancel(ctx), sharded)
			})
		})
	}
	return group.Wait()
}

// lead runs the led components for one term. It first waits until the replica has
// all that earlier leaders wrote, which is older than the term.
func (m *Manager) lead(ctx context.Context, t *term) error {
	if len(m.replica.Status().Kinds) > 0 && m.replica.WaitForRevision(ctx, t.token()) != nil {
		return nil // the term is over
	}
	return runGroup(m.inTerm(ctx, t, nil), m.inTerm(t.context(), t, nil), m.componentsThat(m.isLed))
}

// isLed reports whether a component runs only while this process leads.
func (m *Manager) isLed(c component) bool { return m.election != nil && !c.everyProcess && !c.sharded }

// runUnfenced runs components whose writes need no fence.
func (m *Manager) runUnfenced(ctx context.Context, which func(component) bool) error {
	return runGroup(m.unfenced(ctx), m.unfenced(context.WithoutCancel(ctx)), m.componentsThat(which))
}

func (m *Manager) componentsThat(match func(component) bool) []component {
	return slices.DeleteFunc(slices.Clone(m.components), func(c component) bool { return !match(c) })
}

// runGroup runs components until ctx is done or one of them fails, and returns when
// all have ended. It does not return just because all have ended: a leader with
// nothing to do would otherwise campaign again and again.
func runGroup(ctx, work context.Context, components []component) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		<-ctx.Done()
		return nil
	})
	for _, c := range components {
		group.Go(func() error { return c.run(ctx, work) })
	}
	return group.Wait()
}

// awaitSync waits until a replica has synced, and logs now and then that it still
// waits. It returns false when ctx is done.
func (m *Manager) awaitSync(ctx context.Context, r *informer.Replica) bool {
	for {
		attempt, cancel := retry.WithTimeout(ctx, m.options.Clock, syncReportInterval)
		err := r.WaitForSync(attempt)
		cancel()
		if err == nil || ctx.Err() != nil {
			return ctx.Err() == nil
		}
		m.options.Log.Info("waiting for a replica to sync before starting controllers",
			"endpoints", etcd.RedactEndpoints(r.Store().Client().Endpoints()...), "prefix", r.Store().Prefix(), "cause", err.Error())
	}
}

// callRunnable calls a runnable's function and turns a panic into an error.
func (m *Manager) callRunnable(ctx context.Context, name string, run func(context.Context) error) error {
	err := guard("the function", func() error { return sound(run(ctx)) })
	if stack, ok := stackOf(err); ok {
		m.options.Log.Error(err, "runnable failed", "runnable", name, "stack", stack)
	}
	return err
}
