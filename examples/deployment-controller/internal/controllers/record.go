package controllers

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// The actions of Events: what a controller did or tried to do.
const (
	actionRollOut = "RollOut"
	actionScale   = "Scale"
	actionRun     = "Run"
)

// refused reports whether the store refused a write for what it says, so that the status
// of its owner has to tell. Other errors, such as a Conflict or an etcd that does not
// answer, say nothing about the objects.
func refused(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsForbidden(err) ||
		apierrors.IsRequestEntityTooLargeError(err)
}

// answer returns the store's answer in an error, without the wrapping that says what was
// attempted. Without such an answer it returns the error itself.
func answer(err error) error {
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		return status
	}
	return err
}
