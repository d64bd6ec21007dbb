package stream

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/homeostat/homeostat/pkg/store"
)

var (
	errBehind   = errors.New("the reader is slower than etcd")
	errLags     = errors.New("the member that answered lags behind the others")
	errNoAnswer = errors.New("no answer from etcd")
)

// ChangedError says that etcd is not, or no longer, the one that was followed.
type ChangedError struct{ Reason string }

func (e *ChangedError) Error() string { return e.Reason }

// retryable reports whether another attempt may get further.
func retryable(err error) bool {
	var changed *ChangedError
	var compacted *store.CompactedError
	switch {
	case errors.As(err, &changed), errors.As(err, &compacted):
		return false
	case store.Resumable(err), errors.Is(err, errBehind), errors.Is(err, errLags), errors.Is(err, errNoAnswer):
		return true
	}
	var coded interface{ Code() codes.Code }
	code := status.Code(err)
	if errors.As(err, &coded) {
		code = coded.Code()
	}
	switch code {
	// An expired token shows as a permission that is lost; the next request
	// gets a new one.
	case codes.PermissionDenied, codes.Unauthenticated,
		codes.Internal, codes.ResourceExhausted, codes.Aborted, codes.Canceled, codes.DeadlineExceeded:
		return true
	}
	return false
}

// keepChecking looks from time to time whether etcd is still the same. It also
// asks how far an idle watch has come, so that the position does not fall behind
// what is compacted. It returns when ctx is done or when there is no going on.
func (r *run) keepChecking(ctx context.Context, w *store.RawWatch) error {
	for {
		if sleep(ctx, checkInterval); ctx.Err() != nil {
			return ctx.Err()
		}
		err := r.verify(ctx)
		var changed *ChangedError
		switch {
		case errors.As(err, &changed):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			r.interrupted(err)
			continue // the watch may still work, and ends when it does not
		}
		r.resumed()
		_ = w.RequestProgress() // it fails when the watch does
	}
}

// verify asks etcd, linearizably, whether it still has what was seen of it.
func (r *run) verify(ctx context.Context) error {
	at := *r.at.Load() // before etcd is asked: it can only be further by then
	timed, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	key, opts := r.Range.Start, []clientv3.OpOption{clientv3.WithCountOnly()}
	if at.Witness != nil {
		key, opts = string(at.Witness.Key), nil
	}
	resp, err := r.Client.Get(timed, key, opts...)
	if timed.Err() != nil {
		return fmt.Errorf("%w within %v: %w", errNoAnswer, answerTimeout, timed.Err())
	}
	if err != nil {
		return err
	}
	return r.check(resp, at)
}

func (r *run) check(resp *clientv3.GetResponse, at Position) error {
	now := resp.Header.Revision
	switch {
	case resp.Header.ClusterId != r.Cluster:
		return &ChangedError{fmt.Sprintf("the cluster that answers is %x, the one that was followed is %x", resp.Header.ClusterId, r.Cluster)}
	case now < at.Revision:
		return &ChangedError{fmt.Sprintf("etcd went back: it is at revision %d, and was at %d before; it was wiped or restored", now, at.Revision)}
	}
	if at.Witness != nil && len(resp.Kvs) > 0 && at.Witness.contradicts(resp.Kvs[0]) {
		return &ChangedError{fmt.Sprintf("etcd forgot that key %q changed at revision %d: it was wiped or restored", at.Witness.Key, at.Witness.Revision)}
	}
	return nil
}
