package controller

import (
	"context"
	"errors"
	"fmt"

	"github.com/homeostat/homeostat/pkg/store"
)

// fencingScope is what a context carries to fence its writes through a manager's
// store. The term is nil where writes need no fence, since the work runs in every
// process.
type fencingScope struct {
	term *term
	// check, unless nil, reports before a write why the term no longer covers it.
	check func() error
}

type fencingScopeKey struct{ manager *Manager }

// inTerm returns a context whose writes carry the term's fence. The term ends when
// etcd refuses one of them because of the fence. check may be nil; a write for which
// it returns an error is not sent.
func (m *Manager) inTerm(ctx context.Context, t *term, check func() error) context.Context {
	ctx = context.WithValue(ctx, fencingScopeKey{m}, fencingScope{t, check})
	return store.ObserveWrites(ctx, func(w store.Write) {
		var refused *store.FencedError
		if errors.As(w.Err, &refused) && refused.Fence == t.fence() {
			m.fencedWrites.Add(1)
			t.end(refused)
		}
	})
}

// unfenced returns a context whose writes need no fence.
func (m *Manager) unfenced(ctx context.Context) context.Context {
	return context.WithValue(ctx, fencingScopeKey{m}, fencingScope{})
}

// fences returns the fences of a write through the manager's store.
func (m *Manager) fences(ctx context.Context) ([]store.Fence, error) {
	scope, ok := ctx.Value(fencingScopeKey{m}).(fencingScope)
	switch {
	case !ok:
		return nil, fmt.Errorf("the manager writes under %s, and the context of this write comes from none of its reconciles "+
			"and runnables: pass their context on, or write through another store", m.coordination)
	case scope.term == nil:
		return nil, nil
	case scope.check != nil:
		if err := scope.check(); err != nil {
			return nil, err
		}
	}
	return []store.Fence{scope.term.fence()}, nil
}

// FencingToken returns the token of the term under which a context was made: the
// revision of etcd at which the term began. The context is that of a reconcile or a
// runnable under [Leadership], or of a reconcile under [Sharding], or comes from it.
// ok is false for any other context.
//
// Use it to fence writes to other systems than etcd: send the token along, and let
// the system refuse a lower token than it has seen. Writes through [Manager.Store]
// are fenced already.
func (m *Manager) FencingToken(ctx context.Context) (token int64, ok bool) {
	scope, ok := ctx.Value(fencingScopeKey{m}).(fencingScope)
	if !ok || scope.term == nil {
		return 0, false
	}
	return scope.term.token(), true
}

// FencedWrites returns how many of the manager's writes etcd has refused because
// their term was over. The metric homeostat_fenced_writes_total counts the same.
func (m *Manager) FencedWrites() uint64 { return m.fencedWrites.Load() }
