package store

import (
	"errors"
	"fmt"
)

// UndecodableError names the stored values that could not be decoded. The values stay
// in etcd. To remove one, repair it with another program, or call [Store.Delete] or
// [DynamicKind.Delete] with its revision as [DeleteOptions].ResourceVersion.
type UndecodableError struct {
	// Keys are full etcd keys. Revisions and Reasons have, at the same indices, the
	// ModRevision of each value and why it could not be decoded.
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

// UnknownOutcomeError says that a write was sent, and that the store could not find out
// whether it happened. It may also still happen. Read the object before you write it
// again.
type UnknownOutcomeError struct {
	// Err is the error of the request whose outcome is unknown.
	Err error
}

func (e *UnknownOutcomeError) Error() string {
	return fmt.Sprintf("outcome unknown, read again before writing again: %v", e.Err)
}

// Unwrap returns Err.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// IsUnknownOutcome reports whether err is or wraps an [UnknownOutcomeError]: the write
// may or may not have happened.
func IsUnknownOutcome(err error) bool {
	var unknown *UnknownOutcomeError
	return errors.As(err, &unknown)
}
