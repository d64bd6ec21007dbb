package stream

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/homeostat/homeostat/pkg/etcd"
)

var (
	errBehind   = errors.New("the reader is slower than etcd")
	errLags     = errors.New("the member that answered lags behind the others")
	errNoAnswer = errors.New("no answer from etcd")
)

// ChangedError means that etcd is not the one that the stream followed before.
type ChangedError struct{ Reason string }

func (e *ChangedError) Error() string { return e.Reason }

// retryable reports whether another attempt may get further.
func retryable(err error) bool {
	var changed *ChangedError
	var compacted *etcd.CompactedError
	switch {
	case errors.As(err, &changed), errors.As(err, &compacted):
		return false
	case etcd.Resumable(err), errors.Is(err, errBehind), errors.Is(err, errLags), errors.Is(err, errNoAnswer):
		return true
	}
	var coded interface{ Code() codes.Code }
	code := status.Code(err)
	if errors.As(err, &coded) {
		code = coded.Code()
	}
	switch code {
	// An expired token looks like a lost permission; the next request gets a new one.
	case codes.PermissionDenied, codes.Unauthenticated,
		codes.Internal, codes.ResourceExhausted, codes.Aborted, codes.Canceled, codes.DeadlineExceeded:
		return true
	}
	return false
}

// keepChecking checks at intervals that etcd is still the same. It also requests
// progress, so that the position of an idle watch does not fall behind compaction.
// It returns when ctx is done or when the stream cannot continue.
func (r *run) keepChecking(ctx context.Context, w *etcd.Watch) error {
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
			continue // the watch may still work; it ends if not
		}
		r.resumed()
		_ = w.RequestProgress() // it fails only if the watch fails
	}
}

// verify reads the sentinel's key, linearizably, and checks that etcd still agrees
// with the position.
func (r *run) verify(ctx context.Context) error {
	at := *r.at.Load() // read before etcd answers, so that etcd cannot be behind it
	timed, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	key, opts := r.stream.Range.Start, []clientv3.OpOption{clientv3.WithCountOnly()}
	if at.Sentinel != nil {
		key, opts = string(at.Sentinel.Key), nil
	}
	resp, err := r.stream.Client.Get(timed, key, opts...)
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
	case resp.Header.ClusterId != r.stream.Cluster:
		return &ChangedError{fmt.Sprintf("cluster %x answers, and the stream followed cluster %x", resp.Header.ClusterId, r.stream.Cluster)}
	case now < at.Revision:
		return &ChangedError{fmt.Sprintf("etcd went back: it is at revision %d, and was at %d; it was wiped or restored", now, at.Revision)}
	}
	if at.Sentinel != nil && len(resp.Kvs) > 0 && at.Sentinel.contradicts(resp.Kvs[0]) {
		return &ChangedError{fmt.Sprintf("etcd forgot that key %q changed at revision %d: it was wiped or restored", at.Sentinel.Key, at.Sentinel.Revision)}
	}
	return nil
}
