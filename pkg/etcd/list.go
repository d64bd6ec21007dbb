package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MaxPageSize is the number of keys that [List] reads per page from a server that
// cannot stream. For each page, etcd counts all keys that remain, so small pages
// make a list quadratic.
const MaxPageSize = 10_000

// List reads all keys of a range at one revision, in order. It passes them to each
// in chunks whose size the server chooses, and returns the revision. With revision
// 0 it reads at etcd's current revision, linearizably: it sees every write that
// returned before the call. List uses etcd's streaming range read if the server
// supports it, and reads pages otherwise.
//
// Options such as clientv3.WithKeysOnly reduce what is read. They must not set the
// order, the revision or the limit.
//
// The function each may keep the chunk. If it returns an error, List stops and
// returns that error unwrapped. If the revision is or becomes compacted,
// [apierrors.IsResourceExpired] is true for the error. If etcd has not reached the
// revision yet, the error is a Timeout with the cause
// [metav1.CauseTypeResourceVersionTooLarge]. When List fails, each may have been
// called for some of the keys.
func List(ctx context.Context, client *clientv3.Client, r Range, revision int64, each func([]*mvccpb.KeyValue) error, opts ...clientv3.OpOption) (int64, error) {
	if revision < 0 {
		return 0, fmt.Errorf("list %s at revision %d: must not be negative", r.Start, revision)
	}
	if revision == 0 {
		var err error
		if revision, err = CurrentRevision(ctx, client, r); err != nil {
			return 0, err
		}
	}
	streamed, err := listStream(ctx, client, r, revision, each, opts)
	if !streamed && err == nil {
		err = listPages(ctx, client, r, revision, each, opts)
	}
	return revision, err
}

// ListPage reads at most limit keys of a range at a revision, or at etcd's current
// revision if revision is 0. The response says whether there are more keys, how
// many the range has in all, and etcd's revision. Errors are those of [List].
//
// Prefer List to read a whole range.
func ListPage(ctx context.Context, client *clientv3.Client, r Range, revision, limit int64, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	resp, err := client.Get(ctx, r.Start, append([]clientv3.OpOption{
		clientv3.WithRange(r.End), clientv3.WithRev(revision), clientv3.WithLimit(limit),
	}, opts...)...)
	if err != nil {
		return nil, listError(r, revision, err)
	}
	return resp, nil
}

// listStream returns false if the server cannot stream. It always drains the
// channel, because the client's goroutine ends only then.
func listStream(ctx context.Context, client *clientv3.Client, r Range, revision int64, each func([]*mvccpb.KeyValue) error, opts []clientv3.OpOption) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	chunks, err := client.GetStream(ctx, r.Start, append([]clientv3.OpOption{
		clientv3.WithRange(r.End), clientv3.WithRev(revision),
	}, opts...)...)
	if err != nil {
		return streamResult(r, revision, err)
	}
	defer func() {
		cancel()
		for range chunks {
		}
	}()
	for chunk := range chunks {
		if err := chunk.Err(); err != nil {
			return streamResult(r, revision, err)
		}
		if len(chunk.Kvs) == 0 {
			continue
		}
		if err := each(chunk.Kvs); err != nil {
			return true, err
		}
	}
	return true, ctx.Err()
}

func streamResult(r Range, revision int64, err error) (bool, error) {
	if status.Code(err) == codes.Unimplemented {
		return false, nil
	}
	return true, listError(r, revision, err)
}

func listPages(ctx context.Context, client *clientv3.Client, r Range, revision int64, each func([]*mvccpb.KeyValue) error, opts []clientv3.OpOption) error {
	for {
		resp, err := ListPage(ctx, client, r, revision, MaxPageSize, opts...)
		if err != nil {
			return err
		}
		if len(resp.Kvs) > 0 {
			r.Start = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
			if err := each(resp.Kvs); err != nil {
				return err
			}
		}
		if !resp.More {
			return nil
		}
	}
}

// listError says which list failed. For a revision that etcd has not reached, it
// returns the error that Kubernetes uses for that.
func listError(r Range, revision int64, err error) error {
	explained := ExplainError(err)
	if errors.Is(err, rpctypes.ErrFutureRev) {
		tooLarge := apierrors.NewTimeoutError(fmt.Sprintf("too large resource version: %d", revision), 1)
		tooLarge.ErrStatus.Details.Causes = []metav1.StatusCause{{
			Type: metav1.CauseTypeResourceVersionTooLarge, Message: "too large resource version",
		}}
		explained = fmt.Errorf("%w: %w", tooLarge, err)
	}
	return fmt.Errorf("list %s at revision %d: %w", r.Start, revision, explained)
}
