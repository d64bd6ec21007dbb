package store

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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
// A chunk is each's to keep. An error of each ends the list and is returned as
// it is. When the revision is compacted, even in the middle, the error is
// [apierrors.IsResourceExpired].
func ListRange(ctx context.Context, client *clientv3.Client, r Range, revision int64, each func([]*mvccpb.KeyValue) error) (int64, error) {
	if revision < 0 {
		return 0, fmt.Errorf("list %s at revision %d: must not be negative", r.Start, revision)
	}
	if revision == 0 {
		resp, err := client.Get(ctx, r.Start, clientv3.WithCountOnly())
		if err != nil {
			return 0, fmt.Errorf("list %s: read etcd's revision: %w", r.Start, explain(err))
		}
		revision = resp.Header.Revision
	}
	streamed, err := streamRange(ctx, client, r, revision, each)
	if !streamed && err == nil {
		err = pageRange(ctx, client, r, revision, each)
	}
	return revision, err
}

// streamRange returns false when the server cannot stream. The client's
// goroutine ends only when the channel is drained, so it always is.
func streamRange(ctx context.Context, client *clientv3.Client, r Range, revision int64, each func([]*mvccpb.KeyValue) error) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	chunks, err := client.GetStream(ctx, r.Start, clientv3.WithRange(r.End), clientv3.WithRev(revision))
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
	return true, fmt.Errorf("list %s at revision %d: %w", r.Start, revision, explain(err))
}

func pageRange(ctx context.Context, client *clientv3.Client, r Range, revision int64, each func([]*mvccpb.KeyValue) error) error {
	for {
		resp, err := client.Get(ctx, r.Start, clientv3.WithRange(r.End), clientv3.WithRev(revision), clientv3.WithLimit(listPage))
		if err != nil {
			return fmt.Errorf("list %s at revision %d: %w", r.Start, revision, explain(err))
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
