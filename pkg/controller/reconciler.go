package controller

import (
	"context"
	"errors"
	"time"

	"github.com/homeostat/homeostat/pkg/store"
)

// Request names the object to reconcile. It says nothing of what happened to
// it: a reconciler looks at what is, not at what changed.
type Request struct {
	store.Key
}

// Result says what shall happen after a reconcile.
type Result struct {
	// RequeueAfter, when above 0, has the key reconciled again after that time,
	// unless a change does so before. Only a key's last reconcile counts: what
	// an earlier one asked for is forgotten. With an error, RequeueAfter takes
	// the place of the backoff; with a [TerminalError] or a Conflict it counts
	// for nothing.
	RequeueAfter time.Duration
}

// Reconciler brings the world in line with what is declared for one key. It is
// called for one key at a time, for different keys concurrently, and must be
// idempotent.
//
// R is the type of the keys, [Request] for those of objects.
type Reconciler[R comparable] interface {
	Reconcile(ctx context.Context, key R) (Result, error)
}

// ReconcilerFunc is a function as a [Reconciler].
type ReconcilerFunc[R comparable] func(ctx context.Context, key R) (Result, error)

// Reconcile calls f.
func (f ReconcilerFunc[R]) Reconcile(ctx context.Context, key R) (Result, error) { return f(ctx, key) }

// TerminalError wraps an error that trying again cannot mend. The key is not
// tried again until something changes. It is nil for nil.
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
