package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/controller/internal/lease"
	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/internal/retry"
	"github.com/homeostat/homeostat/pkg/store"
)

// election lets this process campaign for a leadership again and again. A candidate
// holds no lease while it waits. Only when it finds the key free does it take a lease
// and create the key with it, on the condition that the key still does not exist. So
// a candidate never mistakes a key that it lost while it waited for its own.
//
// run owns four goroutines besides its caller's: the key watch, and during a term one
// that keeps the lease alive, one that guards the key, and one that watches the lag of
// the replica. It returns when they have ended.
type election struct {
	options Leadership
	key     string
	client  *clientv3.Client
	clock   clock.WithTickerAndDelayedExecution
	log     logr.Logger
	watch   *lease.KeyWatch
	lag     lagGuard

	// mu is held briefly, and nothing is locked or called under it.
	mu     sync.Mutex
	status LeadershipStatus // without Leading and Leader
	term   *term            // the current one; nil between terms
}

func newElection(s *store.Store, r *informer.Replica, of ManagerOptions) *election {
	o, c, log := *of.Leadership, of.Clock, of.Log
	key := leadershipKey(s, o.Name)
	return &election{
		lag:     newLagGuard(r, of),
		options: o, key: key, client: s.Client(), clock: c, log: log.WithValues("leadership", o.Name, "identity", o.Identity),
		watch:  lease.NewKeyWatch(s.Client(), c, etcd.KeyRange(key)),
		status: LeadershipStatus{Name: o.Name, Identity: o.Identity},
	}
}

// run campaigns until ctx is done, and calls lead once in each term. The context that
// lead gets is done when the term is over, or should end because ctx is done. When
// lead returns, run gives up the leadership. An error of lead ends the election.
func (e *election) run(ctx context.Context, lead func(context.Context, *term) error) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	watchCtx, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatch()
	watching.Go(func() { e.watch.Run(watchCtx) })
	backoff := lease.NewBackoff(e.clock)
	for ctx.Err() == nil {
		l, t, err := e.campaign(ctx)
		switch {
		case t != nil:
			backoff.Reset()
			if err := e.holdTerm(ctx, l, t, lead); err != nil {
				return err
			}
		case err != nil && ctx.Err() == nil:
			e.setErr(err)
			_ = backoff.Wait(ctx) // the loop ends with ctx
		}
	}
	return nil
}

// campaign waits until the key is free and creates it. It returns no term and no
// error when another candidate was faster.
func (e *election) campaign(ctx context.Context) (*lease.Lease, *term, error) {
	if err := e.lag.check(); err != nil {
		return nil, nil, fmt.Errorf("campaign for %s: %w", e.key, err)
	}
	if err := e.awaitFree(ctx); err != nil {
		return nil, nil, err
	}
	if err := e.lag.check(); err != nil {
		return nil, nil, fmt.Errorf("campaign for %s: %w", e.key, err)
	}
	l, err := lease.Grant(ctx, e.client, e.clock, e.options.LeaseTime)
	if err != nil {
		return nil, nil, fmt.Errorf("campaign for %s: %w", e.key, err)
	}
	created, err := e.createKey(ctx, l)
	if err != nil || created == 0 {
		// After an error the key may or may not exist. Nobody leads by it, so the
		// revocation must remove it.
		if revokeErr := l.Revoke(ctx); revokeErr != nil && err == nil {
			e.log.V(1).Info("lease of a lost campaign left to expire", "cause", revokeErr.Error())
		}
		return nil, nil, err
	}
	return l, newTerm(ctx, store.Fence{Key: e.key, CreateRevision: created, Lease: l.ID}), nil
}

// createKey creates the key and returns the revision that did, or 0 if the key exists.
func (e *election) createKey(ctx context.Context, l *lease.Lease) (int64, error) {
	value, err := json.Marshal(leaderValue{Identity: e.options.Identity, Since: e.clock.Now().UTC()})
	if err != nil {
		return 0, fmt.Errorf("campaign for %s: %w", e.key, err)
	}
	ctx, cancel := retry.WithTimeout(ctx, e.clock, lease.RequestTimeout)
	defer cancel()
	resp, err := etcd.Commit(ctx, e.client,
		[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(e.key), "=", 0)},
		[]clientv3.Op{clientv3.OpPut(e.key, string(value), clientv3.WithLease(l.ID))}, nil)
	if err != nil {
		return 0, fmt.Errorf("campaign for %s: create the key: %w", e.key, err)
	}
	if !resp.Succeeded {
		return 0, nil
	}
	return resp.Header.Revision, nil
}

// awaitFree waits until the key does not exist.
func (e *election) awaitFree(ctx context.Context) error {
	for {
		_, changed := e.watch.Latest() // before the list, so that no change is missed
		view, err := e.watch.List(ctx)
		if err != nil {
			return fmt.Errorf("campaign for %s: %w", e.key, err)
		}
		held := view.Keys[e.key]
		switch {
		case held == nil:
			e.setErr(nil)
			return nil
		case held.Lease == 0:
			e.setErr(fmt.Errorf("campaign for %s: the key was put without a lease: delete it", e.key))
		default:
			e.setErr(nil)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// holdTerm guards a term while lead runs, and gives up the leadership when lead has
// returned.
func (e *election) holdTerm(ctx context.Context, l *lease.Lease, t *term, lead func(context.Context, *term) error) error {
	var guards sync.WaitGroup
	guarding, stopGuards := context.WithCancel(context.WithoutCancel(ctx))
	guards.Go(func() {
		if err := l.Keep(guarding); err != nil {
			t.end(err)
		}
	})
	guards.Go(func() { e.guardKey(guarding, t) })
	guards.Go(func() { e.lag.guard(guarding, t) })
	leading, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(t.context(), stop)

	e.termBegan(t)
	err := lead(leading, t)
	lost := t.over()
	t.end(errTermOver)
	stopGuards()
	guards.Wait()
	revokeErr := l.Revoke(ctx)
	e.termEnded(t, lost, revokeErr)
	return err
}

// guardKey ends the term when the key is gone, belongs to another term, or is no longer
// attached to the term's lease, as after a put by hand: etcd then refuses all writes.
func (e *election) guardKey(ctx context.Context, t *term) {
	for {
		view, changed := e.watch.Latest()
		held := view.Keys[e.key]
		if view.Revision >= t.token() && (held == nil || held.CreateRevision != t.token() || held.Lease != int64(t.fence().Lease)) {
			t.end(&store.FencedError{Fence: t.fence(), Found: held.GetCreateRevision()})
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-t.context().Done():
			return
		}
	}
}

func (e *election) termBegan(t *term) {
	e.log.Info("leadership won", "revision", t.token())
	e.mu.Lock()
	defer e.mu.Unlock()
	e.term = t
	e.status.Terms++
}

func (e *election) termEnded(t *term, lost bool, revokeErr error) {
	cause := context.Cause(t.context())
	switch {
	case lost:
		e.log.Info("leadership lost: controllers stopped, campaigning again", "cause", cause.Error())
	case revokeErr != nil:
		e.log.Info("leadership given up; its lease must expire before another process can lead", "cause", revokeErr.Error())
	default:
		e.log.Info("leadership given up")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.term = nil
	if lost {
		e.status.Lost++
		e.status.LastLoss = cause
	}
}

// setErr records why this process cannot campaign, or nil. It logs a new reason.
func (e *election) setErr(err error) {
	e.mu.Lock()
	changed := !sameError(e.status.Err, err)
	e.status.Err = err
	e.mu.Unlock()
	if changed && err != nil {
		e.log.Info("cannot campaign; trying again", "cause", err.Error())
	}
}

func (e *election) report() LeadershipStatus {
	e.mu.Lock()
	status := e.status
	status.Leading = e.term != nil && !e.term.over()
	e.mu.Unlock()
	view, _ := e.watch.Latest()
	status.Leader = leaderIn(view, e.key)
	if status.Err == nil {
		status.Err = view.Err
	}
	return status
}
