package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// syncReport is how often a manager says that it still waits for etcd.
const syncReport = 10 * time.Second

// Run starts the replica, waits until it has synced, then starts the
// controllers and what was added with Add. When ctx is done or something fails
// it stops those, and then the replica. It returns when everything that it
// started has ended: nil when ctx was done, otherwise the first failure. A
// manager runs once.
func (m *Manager) Run(ctx context.Context) error {
	if err := m.begin(); err != nil {
		return err
	}
	// The replica outlives the controllers: what is under way may still read.
	replicaCtx, stopReplica := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReplica()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var replica errgroup.Group
	replica.Go(func() error {
		defer stop() // without it nothing can go on
		return m.replica.Run(replicaCtx)
	})
	err := m.runAll(ctx)
	stopReplica()
	return cmp.Or(err, replica.Wait())
}

func (m *Manager) begin() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.started {
		return errors.New("manager: Run was called before")
	}
	m.started = true
	return nil
}

func (m *Manager) runAll(ctx context.Context) error {
	if !m.awaitSync(ctx) {
		return nil // stopped before it began
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, c := range m.controllers {
		group.Go(func() error { return c.run(groupCtx) })
	}
	for _, r := range m.runnables {
		group.Go(func() error {
			if err := m.call(groupCtx, r); err != nil && ctx.Err() == nil {
				return fmt.Errorf("runnable %q: %w", r.name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// awaitSync waits until the replica has synced, and does not do so in silence.
// It returns false when ctx is done.
func (m *Manager) awaitSync(ctx context.Context) bool {
	for {
		attempt, cancel := context.WithTimeout(ctx, syncReport)
		err := m.replica.WaitForSync(attempt)
		cancel()
		if err == nil || ctx.Err() != nil {
			return ctx.Err() == nil
		}
		m.log.Info("the controllers wait for the replica to have listed etcd",
			"endpoints", m.store.Client().Endpoints(), "prefix", m.store.Prefix(), "cause", err.Error())
	}
}

// call runs a runnable. A panic of it is a failure.
func (m *Manager) call(ctx context.Context, r namedRunnable) error {
	err := guard("it", func() error { return r.run(ctx) })
	var p *panicError
	if errors.As(err, &p) {
		m.log.Error(err, "runnable failed", "runnable", r.name, "stack", p.stack)
	}
	return err
}
