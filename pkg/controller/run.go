package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/homeostat/homeostat/pkg/informer"
)

// syncReport is how often a manager says that it still waits for etcd.
const syncReport = 10 * time.Second

// Run starts the replicas, waits until they have synced, then starts the
// controllers and what was added with Add. When ctx is done or something fails
// it stops those, and then the replicas. It returns when everything that it
// started has ended: nil when ctx was done, otherwise the first failure. A
// manager runs once.
func (m *Manager) Run(ctx context.Context) error {
	if err := m.begin(); err != nil {
		return err
	}
	// The replicas outlive the controllers: what is under way may still read.
	replicaCtx, stopReplicas := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReplicas()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var replicas errgroup.Group
	for _, r := range m.replicas {
		replicas.Go(func() error {
			defer stop() // without it nothing can go on
			return r.run(replicaCtx)
		})
	}
	err := m.runAll(ctx)
	stopReplicas()
	return cmp.Or(err, replicas.Wait())
}

func (r namedReplica) run(ctx context.Context) error {
	err := r.replica.Run(ctx)
	if err != nil && r.name != "" {
		return fmt.Errorf("replica %q: %w", r.name, err)
	}
	return err
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
	for _, r := range m.replicas {
		if !m.awaitSync(ctx, r.replica) {
			return nil // stopped before it began
		}
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
func (m *Manager) call(ctx context.Context, r namedRunnable) error {
	err := guard("it", func() error { return r.run(ctx) })
	var p *panicError
	if errors.As(err, &p) {
		m.log.Error(err, "runnable failed", "runnable", r.name, "stack", p.stack)
	}
	return err
}
