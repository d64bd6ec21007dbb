package controller

import (
	"context"
	"errors"
	"fmt"

	"github.com/homeostat/homeostat/pkg/store"
)

// term is a time during which this process holds a key of etcd's, and with it
// the right to write. Everything done in the term has its context, and every
// write made with that context, or one that comes from it, carries the term's
// fence for ever: what is left over of a term can never write under a later
// one.
type term struct {
	fence store.Fence
	ctx   context.Context // done when the term is over
	end   context.CancelCauseFunc
}

// errTermOver is why the context of a term is done that was given up in order.
var errTermOver = errors.New("the term is over")

func newTerm(ctx context.Context, f store.Fence) *term {
	t := &term{fence: f}
	t.ctx, t.end = context.WithCancelCause(context.WithoutCancel(ctx))
	return t
}

// within returns a term that ends no later than t.
func (t *term) within(f store.Fence) *term {
	part := &term{fence: f}
	part.ctx, part.end = context.WithCancelCause(t.ctx)
	return part
}

func (t *term) lost() bool { return t.ctx.Err() != nil }

// authority is under what a context's writes through a manager's store are made:
// nil for those of what runs in every process, which need no fence.
type authority struct{ term *term }

type authorityKey struct{ manager *Manager }

// inTerm returns a context whose writes carry the term's fence. One that etcd
// refuses because of it ends the term.
func (m *Manager) inTerm(ctx context.Context, t *term) context.Context {
	ctx = context.WithValue(ctx, authorityKey{m}, authority{t})
	return store.ObserveWrites(ctx, func(w store.Write) {
		var refused *store.FencedError
		if errors.As(w.Err, &refused) && refused.Fence == t.fence {
			m.fencedWrites.Add(1)
			t.end(refused)
		}
	})
}

// unfenced returns a context whose writes need no fence.
func (m *Manager) unfenced(ctx context.Context) context.Context {
	return context.WithValue(ctx, authorityKey{m}, authority{})
}

// fences finds the fences of a write through the manager's store.
func (m *Manager) fences(ctx context.Context) ([]store.Fence, error) {
	a, ok := ctx.Value(authorityKey{m}).(authority)
	switch {
	case !ok:
		return nil, fmt.Errorf("the manager writes under %s, and this write's context is that of none of its reconciles "+
			"and runnables: pass theirs on, or write through a store of your own", m.regime)
	case a.term == nil:
		return nil, nil
	}
	return []store.Fence{a.term.fence}, nil
}
