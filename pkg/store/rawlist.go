package store

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

// listPage is the size of a page where the server cannot stream. Every page
// costs the server a count of all that remains, so that small pages make a
// list quadratic.
const listPage = 10_000

// ListRange reads all keys of a range at one revision, in order, and hands them
// to each in chunks of the server's choosing; it returns that revision. A
// revision of 0 means the newest, read linearizably. It uses etcd's streaming
// range read where the server has it and pages elsewhere; the caller need not
// know which.
//
// Options such as clientv3.WithKeysOnly narrow what is read; they must leave
// order, revision and limit alone.
//
// A chunk is each's to keep. An error of each ends the list and is returned as
// it is. When the revision is compacted, even in the middle, the error is
// [apierrors.IsResourceExpired]; when it is yet to come, it is a Timeout with the
// cause [metav1.CauseTypeResourceVersionTooLarge].
func ListRange(ctx context.Context, client *clientv3.Client, r Range, revision int64, each func([]*mvccpb.KeyValue) error, opts ...clientv3.OpOption) (int64, error) {
	if revision < 0 {
		return 0, fmt.Errorf("list %s at revision %d: must not be negative", r.Start, revision)
	}
	if revision == 0 {
		var err error
		if revision, err = CurrentRevision(ctx, client, r); err != nil {
			return 0, err
		}
	}
	streamed, err := streamRange(ctx, client, r, revision, each, opts)
	if !streamed && err == nil {
		err = pageRange(ctx, client, r, revision, each, opts)
	}
	return revision, err
}

// CurrentRevision asks etcd for its current revision, with a read of the first
// key of a range: of one that the etcd user may read, where he may not read all
// keys. It is linearizable: every write that returned before the call has at most
// that revision.
func CurrentRevision(ctx context.Context, client *clientv3.Client, r Range) (int64, error) {
	resp, err := client.Get(ctx, r.Start, clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("read etcd's revision, with key %s: %w", r.Start, explain(err))
	}
	return resp.Header.Revision, nil
}

// streamRange returns false when the server cannot stream. The client's
// goroutine ends only when the channel is drained, so it always is.
func streamRange(ctx context.Context, client *clientv3.Client, r Range, revision int64, each func([]*mvccpb.KeyValue) error, opts []clientv3.OpOption) (bool, error) {
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

// listError says which list failed. Where a revision is yet to come, it is the
// error that Kubernetes has for that.
func listError(r Range, revision int64, err error) error {
	explained := explain(err)
	if errors.Is(err, rpctypes.ErrFutureRev) {
		tooLarge := apierrors.NewTimeoutError(fmt.Sprintf("too large resource version: %d", revision), 1)
		tooLarge.ErrStatus.Details.Causes = []metav1.StatusCause{{
			Type: metav1.CauseTypeResourceVersionTooLarge, Message: "too large resource version",
		}}
		explained = fmt.Errorf("%w: %w", tooLarge, err)
	}
	return fmt.Errorf("list %s at revision %d: %w", r.Start, revision, explained)
}

func pageRange(ctx context.Context, client *clientv3.Client, r Range, revision int64, each func([]*mvccpb.KeyValue) error, opts []clientv3.OpOption) error {
	for {
		resp, err := client.Get(ctx, r.Start, append([]clientv3.OpOption{
			clientv3.WithRange(r.End), clientv3.WithRev(revision), clientv3.WithLimit(listPage),
		}, opts...)...)
		if err != nil {
			return listError(r, revision, err)
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
