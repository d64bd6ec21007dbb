package controller

import (
	"context"
	"errors"
	"time"

	"github.com/homeostat/homeostat/pkg/store"
)

// Request is the key of an object to reconcile. It does not say what happened to the
// object: a reconciler decides by what is there.
type Request struct {
	store.Key
}

// Result says when a key comes back after a reconcile. The zero value means that it
// comes back only after a change.
type Result struct {
	// RequeueAfter makes the key come back after this time, unless a change brings it
	// back earlier. Only the latest reconcile of a key counts. If the reconcile also
	// returned an error, RequeueAfter replaces the backoff; after a [TerminalError] or
	// a Conflict it is ignored. A negative time, such as the time until a moment that has
	// passed, makes a reconcile without an error fail. Defaults to not coming back.
	RequeueAfter time.Duration
}

// Reconciler makes the world match what is declared for one key. The controller calls
// it for one key in one goroutine at a time, and for different keys concurrently. It
// must be idempotent, since a key may be reconciled more often than it changes.
//
// When it returns nil, the key comes back after a change, or as its [Result] says.
// When it returns a Conflict, it lost a race, and is called again on a newer snapshot.
// When it returns a [TerminalError], the key waits for a change. After any other
// error, or a panic, it is called again after a pause that doubles with each failure. A
// change ends that pause, except for the change that the failed reconcile has written
// itself.
//
// R is the type of the keys: [Request] for objects.
type Reconciler[R comparable] interface {
	Reconcile(ctx context.Context, key R) (Result, error)
}

// ReconcilerFunc makes a [Reconciler] of a function, for [NewFor] and [NewReconciler].
type ReconcilerFunc[R comparable] func(ctx context.Context, key R) (Result, error)

// Reconcile calls f.
func (f ReconcilerFunc[R]) Reconcile(ctx context.Context, key R) (Result, error) { return f(ctx, key) }

// TerminalError marks an error as permanent: a retry would fail again. Return it from a
// reconcile, and the key is reconciled again only after a change. TerminalError returns
// nil for nil.
func TerminalError(err error) error {
	if err == nil {
		return nil
	}
	return &terminalError{err}
}

type terminalError struct{ err error }

func (e *terminalError) Error() string { return "terminal: " + e.err.Error() }
func (e *terminalError) Unwrap() error { return e.err }

func isTerminal(err error) bool {
	var t *terminalError
	return errors.As(err, &t)
}
