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
	if r.End == "" {
		r = KeyRange(r.Start)
	}
	l := &lister{client: client, rest: r, revision: revision, each: each, opts: opts}
	streamed, err := l.stream(ctx)
	if !streamed {
		err = l.pages(ctx)
	}
	switch {
	case err == nil:
		return revision, nil
	case l.refusal != nil:
		return revision, l.refusal
	}
	return revision, listError(r, revision, err)
}

// ListPage reads at most limit keys of a range at a revision, or at etcd's current
// revision if revision is 0. The response says whether there are more keys, how
// many the range has in all, and etcd's revision. Errors are those of [List].
//
// Prefer List to read a whole range.
func ListPage(ctx context.Context, client *clientv3.Client, r Range, revision, limit int64, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	resp, err := GetRange(ctx, client, r.Start, append([]clientv3.OpOption{
		clientv3.WithRange(r.End), clientv3.WithRev(revision), clientv3.WithLimit(limit),
	}, opts...)...)
	if err != nil {
		return nil, listError(r, revision, err)
	}
	return resp, nil
}

// lister is a list while it is read.
type lister struct {
	client   *clientv3.Client
	rest     Range // the keys that are left: if a member fails, the list goes on with another
	revision int64
	each     func([]*mvccpb.KeyValue) error
	refusal  error // what each returned
	opts     []clientv3.OpOption
}

func (l *lister) pass(kvs []*mvccpb.KeyValue) error {
	if len(kvs) > 0 {
		l.rest.Start = string(kvs[len(kvs)-1].Key) + "\x00"
		l.refusal = l.each(kvs)
	}
	return l.refusal
}

func (l *lister) options(more ...clientv3.OpOption) []clientv3.OpOption {
	return append(append(more, clientv3.WithRange(l.rest.End), clientv3.WithRev(l.revision)), l.opts...)
}

// stream returns false if the server cannot stream. etcd's client does not retry a stream.
func (l *lister) stream(ctx context.Context) (streamed bool, err error) {
	r := newRetrier(l.client)
	for {
		a := r.attempt(ctx)
		err := l.streamOnce(a, r.progressed)
		late := a.end()
		switch {
		case status.Code(err) == codes.Unimplemented:
			return false, nil
		case err == nil, l.refusal != nil, !r.again(ctx, err, late):
			return true, err
		}
	}
}

// streamOnce always drains the channel, because the client's goroutine ends only then.
func (l *lister) streamOnce(a *attempt, progressed func()) error {
	chunks, err := l.client.GetStream(a.ctx, l.rest.Start, l.options()...)
	if err != nil {
		return err
	}
	defer func() {
		a.cancel()
		for range chunks {
		}
	}()
	for chunk := range chunks {
		if err := chunk.Err(); err != nil {
			return err
		}
		a.answered()
		progressed()
		if err := l.pass(chunk.Kvs); err != nil {
			return err
		}
		a.wait()
	}
	return a.ctx.Err()
}

func (l *lister) pages(ctx context.Context) error {
	for {
		resp, err := GetRange(ctx, l.client, l.rest.Start, l.options(clientv3.WithLimit(MaxPageSize))...)
		if err != nil {
			return err
		}
		if err := l.pass(resp.Kvs); err != nil || !resp.More {
			return err
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
