package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/controller/internal/lease"
	"github.com/homeostat/homeostat/pkg/internal/retry"
	"github.com/homeostat/homeostat/pkg/store"
)

// election has one candidate stand for a leadership, again and again. The
// candidate has no lease while it waits: only when it finds the key free does it
// take one, and creates the key with it, on the condition that there still is
// none. So it cannot take for its own what it lost while it waited.
type election struct {
	options Leadership
	key     string
	client  *clientv3.Client
	clock   clock.WithTickerAndDelayedExecution
	log     logr.Logger
	watch   *lease.KeyWatch

	mu     sync.Mutex
	status LeadershipStatus // without what the watch and the term tell
	term   *term            // the present one; nil between terms
}

func newElection(s *store.Store, o Leadership, c clock.WithTickerAndDelayedExecution, log logr.Logger) *election {
	key := leadershipKey(s, o.Name)
	return &election{
		options: o, key: key, client: s.Client(), clock: c, log: log.WithValues("leadership", o.Name, "identity", o.Identity),
		watch:  lease.NewKeyWatch(s.Client(), c, store.Range{Start: key, End: key + "\x00"}),
		status: LeadershipStatus{Name: o.Name, Identity: o.Identity},
	}
}

// run campaigns until ctx is done, and calls lead for each term: with a context
// that is done when the term is over or is to end. When lead returns, the
// leadership is given up. An error of lead's ends the election.
func (e *election) run(ctx context.Context, lead func(context.Context, *term) error) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	watchCtx, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatch()
	watching.Go(func() { e.watch.Run(watchCtx) })
	backoff := lease.NewBackoff(e.clock)
	for ctx.Err() == nil {
		held, t, err := e.claim(ctx)
		switch {
		case ctx.Err() != nil && t == nil:
		case err != nil:
			e.failed(err)
			_ = backoff.Wait(ctx)
		case t != nil:
			backoff.Reset()
			if err := e.serve(ctx, held, t, lead); err != nil {
				return err
			}
		}
	}
	return nil
}

// claim waits until the key is free and creates it. It returns no term when
// somebody else was faster.
func (e *election) claim(ctx context.Context) (*lease.Lease, *term, error) {
	if err := e.awaitFree(ctx); err != nil {
		return nil, nil, err
	}
	l, err := lease.Grant(ctx, e.client, e.clock, e.options.LeaseTime)
	if err != nil {
		return nil, nil, fmt.Errorf("campaign for %s: %w", e.key, err)
	}
	created, err := e.create(ctx, l)
	if err != nil || created == 0 {
		// After an error it is not known whether the key was created. It must not
		// stay, then: nobody leads by it.
		if lost := l.Revoke(ctx); lost != nil && err == nil {
			e.log.V(1).Info("lease of a vain candidacy left to run out", "cause", lost.Error())
		}
		return nil, nil, err
	}
	return l, newTerm(ctx, store.Fence{Key: e.key, CreateRevision: created, Lease: l.ID}), nil
}

// create creates the key and returns the revision that did: 0 when there is one.
func (e *election) create(ctx context.Context, l *lease.Lease) (int64, error) {
	value, err := json.Marshal(leaderValue{Identity: e.options.Identity, Since: e.clock.Now().UTC()})
	if err != nil {
		return 0, fmt.Errorf("campaign for %s: %w", e.key, err)
	}
	ctx, cancel := retry.WithTimeout(ctx, e.clock, lease.RequestTimeout)
	defer cancel()
	resp, err := e.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(e.key), "=", 0)).
		Then(clientv3.OpPut(e.key, string(value), clientv3.WithLease(l.ID))).Commit()
	if err != nil {
		return 0, fmt.Errorf("campaign for %s: create it: %w", e.key, err)
	}
	if !resp.Succeeded {
		return 0, nil
	}
	return resp.Header.Revision, nil
}

// awaitFree waits until nobody has the key.
func (e *election) awaitFree(ctx context.Context) error {
	for {
		_, changed := e.watch.Latest() // what follows the answer is not missed
		view, err := e.watch.List(ctx)
		if err != nil {
			return fmt.Errorf("campaign for %s: %w", e.key, err)
		}
		e.succeeded()
		held := view.Keys[e.key]
		if held == nil {
			return nil
		}
		if held.Lease == 0 {
			e.failed(fmt.Errorf("campaign for %s: the key was put without a lease, and stays until somebody deletes it", e.key))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// serve has a term begin, last and end.
func (e *election) serve(ctx context.Context, l *lease.Lease, t *term, lead func(context.Context, *term) error) error {
	var guards sync.WaitGroup
	guarding, stopGuards := context.WithCancel(context.WithoutCancel(ctx))
	guards.Go(func() {
		if err := l.Keep(guarding); err != nil {
			t.end(err)
		}
	})
	guards.Go(func() { e.guardKey(guarding, t) })
	leading, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(t.ctx, stop)

	e.begun(t)
	err := lead(leading, t)
	lost := t.lost()
	t.end(errTermOver)
	stopGuards()
	guards.Wait()
	revoked := l.Revoke(ctx)
	e.over(t, lost, revoked)
	return err
}

// guardKey ends the term when the key is seen to be gone, or another's.
func (e *election) guardKey(ctx context.Context, t *term) {
	for {
		view, changed := e.watch.Latest()
		held := view.Keys[e.key]
		if view.Revision >= t.fence.CreateRevision && (held == nil || held.CreateRevision != t.fence.CreateRevision) {
			t.end(&store.FencedError{Fence: t.fence, Found: held.GetCreateRevision()})
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-t.ctx.Done():
			return
		}
	}
}

func (e *election) begun(t *term) {
	e.log.Info("leads", "revision", t.fence.CreateRevision)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.term = t
	e.status.Terms++
}

func (e *election) over(t *term, lost bool, revoked error) {
	cause := context.Cause(t.ctx)
	switch {
	case lost:
		e.log.Info("leadership lost: controllers stopped, campaigning again", "cause", cause.Error())
	case revoked != nil:
		e.log.Info("leadership given up, but its lease has to run out before another can lead", "cause", revoked.Error())
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

// failed takes note of what keeps the candidate from standing, and says so when
// that is new.
func (e *election) failed(err error) {
	e.mu.Lock()
	fresh := !sameError(e.status.Err, err)
	e.status.Err = err
	e.mu.Unlock()
	if fresh {
		e.log.Info("cannot campaign; trying on", "cause", err.Error())
	}
}

func (e *election) succeeded() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status.Err = nil
}

// leaderValue is what the key holds.
type leaderValue struct {
	Identity string    `json:"identity"`
	Since    time.Time `json:"since"`
}
