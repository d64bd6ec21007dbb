package store

import (
	"errors"
	"fmt"
)

// Errors of this package wrap Kubernetes' own where it has one, so that
// apierrors.IsNotFound, IsAlreadyExists, IsConflict, IsInvalid,
// IsResourceExpired and IsRequestEntityTooLarge answer as a user of Kubernetes
// expects. What is etcd's alone is found with errors.Is and errors.As.

// UndecodableError names the stored values that could not be decoded. The values stay
// in etcd. To remove one, repair it with another program, or call [Store.Delete] or
// [DynamicKind.Delete] with its revision as [DeleteOptions].ResourceVersion.
type UndecodableError struct {
	// Keys are full etcd keys. Revisions and Reasons have the ModRevision and the error
	// of each.
	Keys      []string
	Revisions []int64
	Reasons   []error
}

func (e *UndecodableError) Error() string {
	if len(e.Keys) == 1 {
		return fmt.Sprintf("value of key %s at revision %d cannot be decoded: %v", e.Keys[0], e.Revisions[0], e.Reasons[0])
	}
	return fmt.Sprintf("values of %d keys cannot be decoded, the first being %s at revision %d: %v",
		len(e.Keys), e.Keys[0], e.Revisions[0], e.Reasons[0])
}

// Unwrap returns the reasons.
func (e *UndecodableError) Unwrap() []error { return e.Reasons }

func (e *UndecodableError) add(key string, revision int64, reason error) {
	e.Keys, e.Revisions, e.Reasons = append(e.Keys, key), append(e.Revisions, revision), append(e.Reasons, reason)
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
