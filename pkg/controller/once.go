package controller

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
)

// ReconcileOnce has the controller of that name reconcile one key, in the
// caller's goroutine, on the newest snapshot of the manager's replica, and
// returns what the reconciler did: an error of its commit, or a panic, included.
// Nothing else of the controller takes part: no source, queue, backoff or gate,
// so that it is up to the caller that the replica has reached what was written
// before. It is for tests (see package controllertest) and for programs that do
// one thing and end.
//
// The manager need not run, but its replica must have synced: run it with
// [informer.Replica.Run]. R is the type of the controller's keys. Under
// [Leadership] or [Sharding], ctx must be that of a runnable of the manager's,
// unless the controller runs in every process: otherwise what it writes is refused.
func ReconcileOnce[R comparable](ctx context.Context, m *Manager, name string, key R) (Result, error) {
	l, err := loopNamed[R](m, name)
	if err != nil {
		return Result{}, err
	}
	if l.options.EveryProcess {
		ctx = m.unfenced(ctx)
	}
	if !m.replica.Status().Synced {
		return Result{}, fmt.Errorf("controller %q: the manager's replica has not synced: run it and wait with WaitForSync", name)
	}
	log := l.log.WithValues("key", key, "reconcile", l.ids.Add(1))
	return l.reconcile(logr.NewContext(ctx, log), key)
}

func loopNamed[R comparable](m *Manager, name string) (*loop[R], error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.parts {
		if p.name != name || p.loop == nil {
			continue
		}
		l, ok := p.loop.(*loop[R])
		if !ok {
			return nil, fmt.Errorf("controller %q: its keys are not of type %T", name, *new(R))
		}
		return l, nil
	}
	return nil, fmt.Errorf("controller %q: the manager has none of that name", name)
}
