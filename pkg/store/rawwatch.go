package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// RawWatch is one etcd watch on a gRPC stream of its own. Sharing a stream
// would let a progress notification meant for one watch be taken for another's,
// which then loses the events before it without a word.
//
// The watch ends with the context that it was opened with, which must end. The server's
// response to a range that is idle carries no revision; ask for one with
// RequestProgress.
type RawWatch struct {
	// Created is etcd's revision when the watch was created.
	Created int64
	// Responses has what follows. It is closed when the watch ends; the last
	// response may say why (see [WatchError]). It must be read without delay:
	// the client buffers without bound. The events of one revision never
	// spread over two responses.
	Responses clientv3.WatchChan

	requestProgress func() error
}

// OpenWatch opens a watch on a range for the changes from a revision on, and
// waits until etcd has created it. The revision must be above 0, since 0 would
// mean "now", whenever that is. Deletions carry no value; pass
// clientv3.WithPrevKV for what was deleted.
//
// The error is [apierrors.IsResourceExpired] when changes asked for have been
// compacted.
func OpenWatch(ctx context.Context, client *clientv3.Client, r Range, from int64, opts ...clientv3.OpOption) (*RawWatch, error) {
	if from <= 0 {
		return nil, fmt.Errorf("watch %s: revision %d: must be above 0", r.Start, from)
	}
	if client.Ctx().Err() != nil {
		return nil, fmt.Errorf("watch %s from revision %d: the etcd client is closed", r.Start, from)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("watch %s from revision %d: %w", r.Start, from, err)
	}
	// The client gives a stream to each distinct set of metadata. Requiring a
	// leader ends the watch when the member is cut off from the others;
	// otherwise it would be silent for as long as that lasts.
	ctx = metadata.AppendToOutgoingContext(clientv3.WithRequireLeader(ctx), "homeostat-watch", uuid.NewString())
	opts = append([]clientv3.OpOption{
		clientv3.WithRange(r.End), clientv3.WithRev(from),
		clientv3.WithCreatedNotify(), clientv3.WithProgressNotify(), clientv3.WithFragment(),
	}, opts...)
	w := &RawWatch{requestProgress: func() error { return client.RequestProgress(ctx) }}
	select {
	case w.Responses = <-startWatch(ctx, client, r, opts):
	case <-ctx.Done():
		return nil, fmt.Errorf("watch %s from revision %d: %w", r.Start, from, ctx.Err())
	}
	resp, ok := <-w.Responses
	if err := WatchError(resp, ok); err != nil {
		return nil, fmt.Errorf("watch %s from revision %d: %w", r.Start, from, cmp.Or(ctx.Err(), err))
	}
	w.Created = resp.Header.GetRevision()
	return w, nil
}

// startWatch starts a watch that ends with ctx, and sends it if ctx still goes
// on. When the context of a client's Watch ends before the client has looked at
// the request, which takes as long as there is no connection, the client never
// gives up the stream that it made for it. So it gets a context that ends no
// sooner than Watch has returned.
func startWatch(ctx context.Context, client *clientv3.Client, r Range, opts []clientv3.OpOption) <-chan clientv3.WatchChan {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	started := make(chan clientv3.WatchChan)
	go func() {
		responses := client.Watch(lasting, r.Start, opts...)
		context.AfterFunc(ctx, cancel)
		select {
		case started <- responses:
		case <-ctx.Done():
		}
	}()
	return started
}

// RequestProgress asks etcd to say, with a response that has no events, how far
// the watch has come. The answer comes only once the watch has caught up.
func (w *RawWatch) RequestProgress() error { return w.requestProgress() }

// ErrWatchClosed says that a watch ended and etcd gave no reason.
var ErrWatchClosed = errors.New("the watch was closed")

// CompactedError says that changes asked for are no longer to be had.
type CompactedError struct {
	// Revision is the oldest that is left.
	Revision int64
	err      error
}

func (e *CompactedError) Error() string {
	return fmt.Sprintf("%v: the oldest revision left is %d", e.err, e.Revision)
}

// Unwrap leads to Kubernetes' ResourceExpired and to etcd's ErrCompacted.
func (e *CompactedError) Unwrap() error { return e.err }

// WatchError says why a watch ended, from what was received of its channel, or
// returns nil when it goes on.
func WatchError(resp clientv3.WatchResponse, ok bool) error {
	switch {
	case !ok:
		return ErrWatchClosed
	case resp.CompactRevision != 0:
		return &CompactedError{Revision: resp.CompactRevision, err: explain(rpctypes.ErrCompacted)}
	case resp.Err() != nil:
		return explain(refusal(resp.Err()))
	}
	return nil
}

// refusal gives back to an error what it is when etcd has refused to create a
// watch: of that, etcd's client keeps nothing but the text.
func refusal(err error) error {
	for _, known := range []error{
		rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty, rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthOldRevision,
	} {
		if strings.HasSuffix(err.Error(), known.Error()) {
			return known
		}
	}
	return err
}

// Resumable reports whether a watch that ended with err can be opened again
// where it ended: the cause lies in the connection or the cluster, not in what
// was asked for.
func Resumable(err error) bool {
	if errors.Is(err, ErrWatchClosed) || errors.Is(err, rpctypes.ErrNoLeader) {
		return true
	}
	var coded interface{ Code() codes.Code }
	return errors.As(err, &coded) && coded.Code() == codes.Unavailable || status.Code(err) == codes.Unavailable
}
