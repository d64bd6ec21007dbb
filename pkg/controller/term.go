package controller

import (
	"context"
	"errors"

	"github.com/homeostat/homeostat/pkg/store"
)

// errTermOver is the cause of the context of a term that was given up in order.
var errTermOver = errors.New("the term is over")

// term is the time during which this process holds a key of etcd, and with it the
// right to write: a term of leadership, a membership, or the ownership of a bucket.
// Everything done in the term has a context that comes from ctx. A write with such a
// context carries the fence for ever, so that a goroutine left over from one term
// can never write under a later one.
//
// A term is immutable. Any number of goroutines may end it.
type term struct {
	compared store.Fence
	ctx      context.Context
	cancel   context.CancelCauseFunc
}

func newTerm(ctx context.Context, f store.Fence) *term {
	t := &term{compared: f}
	t.ctx, t.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return t
}

// within returns a new term that ends no later than t.
func (t *term) within(f store.Fence) *term {
	inner := &term{compared: f}
	inner.ctx, inner.cancel = context.WithCancelCause(t.ctx)
	return inner
}

// fence returns what each write of the term compares.
func (t *term) fence() store.Fence { return t.compared }

// token returns the revision at which the term began.
func (t *term) token() int64 { return t.compared.CreateRevision }

// context returns a context that is done when the term is over. Its cause says why.
func (t *term) context() context.Context { return t.ctx }

// end ends the term. The first cause counts.
func (t *term) end(cause error) { t.cancel(cause) }

func (t *term) over() bool { return t.ctx.Err() != nil }
