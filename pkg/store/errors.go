package store

import (
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Errors of this package wrap Kubernetes' own where it has one, so that
// apierrors.IsNotFound, IsAlreadyExists, IsConflict, IsInvalid,
// IsResourceExpired and IsRequestEntityTooLarge answer as a user of Kubernetes
// expects. What is etcd's alone is found with errors.Is and errors.As.

// UndecodableError says which stored values could not be decoded.
type UndecodableError struct {
	// Keys are whole etcd keys; Reasons has the error of each.
	Keys    []string
	Reasons []error
}

func (e *UndecodableError) Error() string {
	if len(e.Keys) == 1 {
		return fmt.Sprintf("value of key %s cannot be decoded: %v", e.Keys[0], e.Reasons[0])
	}
	return fmt.Sprintf("values of %d keys cannot be decoded, the first being %s: %v", len(e.Keys), e.Keys[0], e.Reasons[0])
}

// Unwrap returns the reasons.
func (e *UndecodableError) Unwrap() []error { return e.Reasons }

func (e *UndecodableError) add(key string, reason error) {
	e.Keys, e.Reasons = append(e.Keys, key), append(e.Reasons, reason)
}

// orNil avoids the interface that holds a nil pointer.
func (e *UndecodableError) orNil() error {
	if len(e.Keys) == 0 {
		return nil
	}
	return e
}

// UnknownOutcomeError says that a write was sent and that its answer did not
// arrive, so that it may have happened, or may yet. Read the object again and
// decide by what is there.
type UnknownOutcomeError struct{ Err error }

func (e *UnknownOutcomeError) Error() string {
	return fmt.Sprintf("outcome unknown, read again before writing again: %v", e.Err)
}

// Unwrap returns what kept the answer from arriving.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// IsUnknownOutcome reports whether a write may or may not have happened.
func IsUnknownOutcome(err error) bool {
	var unknown *UnknownOutcomeError
	return errors.As(err, &unknown)
}

// explain adds to etcd's errors what the user can do about them.
func explain(err error) error {
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("etcd is out of space and refuses writes: compact, defragment, then disarm the alarm: %w", err)
	case errors.Is(err, rpctypes.ErrCompacted):
		return fmt.Errorf("%w: %w", apierrors.NewResourceExpired("the revision was compacted: list again"), err)
	case errors.Is(err, rpctypes.ErrRequestTooLarge), errors.Is(err, rpctypes.ErrTooManyOps):
		return fmt.Errorf("%w: %w", apierrors.NewRequestEntityTooLargeError("etcd's own limits are lower than its defaults"), err)
	case errors.Is(err, rpctypes.ErrPermissionDenied), errors.Is(err, rpctypes.ErrUserEmpty):
		return fmt.Errorf("the etcd user may not do this, or its token has expired: %w", err)
	case errors.Is(err, rpctypes.ErrInvalidAuthToken):
		return fmt.Errorf("the etcd user's token has expired, or etcd was restarted: without a password, the client cannot get another: %w", err)
	case errors.Is(err, rpctypes.ErrFutureRev):
		return fmt.Errorf("too large resource version: the revision is newer than etcd's own: %w", err)
	}
	return err
}
