package storetest

import (
	"errors"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/store"
)

// These are the errors that callers distinguish. An error must be exactly one of them: one
// that is two would make a caller do the wrong thing.
func isNotFound(err error) bool   { return only(err, "NotFound") }
func isTaken(err error) bool      { return only(err, "AlreadyExists") }
func isConflict(err error) bool   { return only(err, "Conflict") }
func isInvalid(err error) bool    { return only(err, "Invalid") }
func isBadRequest(err error) bool { return only(err, "BadRequest") }
func isTooLarge(err error) bool   { return only(err, "TooLarge") }
func isExpired(err error) bool    { return only(err, "Expired") }
func isFenced(err error) bool     { return only(err, "Fenced") }

func isUndecodable(err error) bool { return only(err, "Undecodable") }

// isOther accepts errors that are none of the above.
func isOther(err error) bool { return only(err) }

// saying accepts errors that is accepts, and that contain a word.
func saying(is func(error) bool, word string) func(error) bool {
	return func(err error) bool { return is(err) && strings.Contains(err.Error(), word) }
}

func only(err error, sort ...string) bool { return slices.Equal(sorts(err), sort) }

func sorts(err error) (are []string) {
	var undecodable *store.UndecodableError
	for _, s := range []struct {
		name string
		is   bool
	}{
		{"NotFound", apierrors.IsNotFound(err)},
		{"AlreadyExists", apierrors.IsAlreadyExists(err)},
		{"Conflict", apierrors.IsConflict(err)},
		{"Invalid", apierrors.IsInvalid(err)},
		{"BadRequest", apierrors.IsBadRequest(err)},
		{"TooLarge", apierrors.IsRequestEntityTooLargeError(err)},
		{"Expired", apierrors.IsResourceExpired(err)},
		{"Fenced", store.IsFenced(err)},
		{"Undecodable", errors.As(err, &undecodable)},
	} {
		if s.is {
			are = append(are, s.name)
		}
	}
	return are
}
