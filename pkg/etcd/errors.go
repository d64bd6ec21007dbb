package etcd

import (
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// ExplainError adds to an error of etcd's client what the user can do about it. The
// result wraps err. It also wraps the Kubernetes error with the same meaning, if
// there is one: [apierrors.IsResourceExpired] reports true for a compacted revision,
// and [apierrors.IsRequestEntityTooLargeError] for a request above etcd's limits.
// ExplainError returns any other error, and nil, as it is.
//
// The functions of this package return errors that are explained already. Use
// ExplainError for calls that you make with the client yourself.
func ExplainError(err error) error {
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

// Refused reports whether etcd certainly did not execute a failed request, because etcd
// itself refused it. If it reports false for an error of [Commit], the outcome is unknown.
// A lost answer proves nothing.
func Refused(err error) bool {
	// etcd checks its quota again when it applies a transaction, and can return
	// this error for a transaction that it has just applied.
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return false
	}
	// gRPC and proxies use some of these codes for connections that broke after
	// etcd had received the request.
	var named rpctypes.EtcdError
	if !errors.As(err, &named) {
		return false
	}
	switch ErrorCode(err) {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented, codes.ResourceExhausted:
		return true
	}
	return false
}

// ErrorCode returns the gRPC code of an error of etcd's client. It knows both forms
// that the client returns: gRPC's own status and [rpctypes.EtcdError].
func ErrorCode(err error) codes.Code {
	var coded interface{ Code() codes.Code }
	if errors.As(err, &coded) {
		return coded.Code()
	}
	return status.Code(err)
}
