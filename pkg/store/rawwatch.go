package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/uuid"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// RawWatch is one etcd watch on a gRPC stream of its own. Sharing a stream
// would let a progress notification meant for one watch be taken for another's,
// which then loses the events before it without a word.
//
// The watch ends with the context that it was opened with, or with Close, one of
// which must come. It ends, too, when the connection is lost: etcd's client would
// go on in whatever etcd it finds next, which may have been wiped or restored.
// [Resumable] is true of the error then, and who opens another compares etcd's
// revision first. Only where the client's Watcher was replaced, such as by one that
// adds a prefix to all keys, does a watch outlive its connection.
//
// The server's response to a range that is idle carries no revision; ask for one
// with RequestProgress.
type RawWatch struct {
	// Created is etcd's revision when the watch was created.
	Created int64
	// Responses has what follows. It is closed when the watch ends; the last
	// response may say why (see [WatchError]). It must be read without delay:
	// the client buffers without bound (but see [Tap]). The events of one revision
	// never spread over two responses.
	Responses clientv3.WatchChan

	stream          *singleStream
	requestProgress func() error
	close           func()
}

// Tap is told of each response of a watch when it has come, which may be long
// before it is read from Responses; it sees fragments of large ones. An error of
// it ends the watch, and what was not read yet is dropped. It is called by one
// goroutine at a time, and must be fast. Where the Watcher of the client was
// replaced it is never called, not even for the creation of the watch.
type Tap func(resp *pb.WatchResponse) error

// OpenWatch opens a watch on a range for the changes from a revision on, and
// waits until etcd has created it. The revision must be above 0, since 0 would
// mean "now", whenever that is. Deletions carry no value; pass
// clientv3.WithPrevKV for what was deleted.
//
// The error is [apierrors.IsResourceExpired] when changes asked for have been
// compacted.
func OpenWatch(ctx context.Context, client *clientv3.Client, r Range, from int64, opts ...clientv3.OpOption) (*RawWatch, error) {
	return OpenTappedWatch(ctx, client, r, from, nil, opts...)
}

// OpenTappedWatch is [OpenWatch] with a tap.
func OpenTappedWatch(ctx context.Context, client *clientv3.Client, r Range, from int64, tap Tap, opts ...clientv3.OpOption) (*RawWatch, error) {
	w, err := openWatch(ctx, client, r, from, tap, opts)
	if err != nil {
		return nil, fmt.Errorf("watch %s from revision %d: %w", r.Start, from, err)
	}
	return w, nil
}

func openWatch(ctx context.Context, client *clientv3.Client, r Range, from int64, tap Tap, opts []clientv3.OpOption) (*RawWatch, error) {
	switch {
	case from <= 0:
		return nil, errors.New("the revision must be above 0")
	case client.Ctx().Err() != nil:
		return nil, errors.New("the etcd client is closed")
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	// The client gives a stream to each distinct set of metadata. Requiring a
	// leader ends the watch when the member is cut off from the others;
	// otherwise it would be silent for as long as that lasts.
	ctx = metadata.AppendToOutgoingContext(clientv3.WithRequireLeader(ctx), "homeostat-watch", uuid.NewString())
	ctx, cancel := context.WithCancel(ctx)
	opts = append([]clientv3.OpOption{
		clientv3.WithRange(r.End), clientv3.WithRev(from),
		clientv3.WithCreatedNotify(), clientv3.WithProgressNotify(), clientv3.WithFragment(),
	}, opts...)
	watcher, stream := newWatcher(client, tap)
	end := sync.OnceFunc(func() {
		cancel()
		_ = watcher.Close() // all that it reports is how the stream ended
	})
	unless := context.AfterFunc(ctx, end)
	w := &RawWatch{
		stream:          stream,
		requestProgress: func() error { return watcher.RequestProgress(ctx) },
		close:           func() { unless(); end() },
	}
	if err := w.await(ctx, startWatch(ctx, watcher, r, opts)); err != nil {
		err = cmp.Or(ctx.Err(), err)
		w.Close()
		return nil, w.Explain(err)
	}
	return w, nil
}

// await waits until etcd has created the watch.
func (w *RawWatch) await(ctx context.Context, started <-chan clientv3.WatchChan) error {
	select {
	case w.Responses = <-started:
	case <-ctx.Done():
		return ctx.Err()
	}
	resp, ok := <-w.Responses
	if err := WatchError(resp, ok); err != nil {
		return err
	}
	w.Created = resp.Header.GetRevision()
	return nil
}

// startWatch starts a watch that ends with ctx, and sends it if ctx still goes
// on. When the context of a Watch ends before the client has looked at the
// request, which takes as long as there is no connection, a client whose Watcher
// was replaced never gives up the stream that it made for it. So it gets a context
// that ends no sooner than Watch has returned.
func startWatch(ctx context.Context, watcher clientv3.Watcher, r Range, opts []clientv3.OpOption) <-chan clientv3.WatchChan {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	started := make(chan clientv3.WatchChan)
	go func() {
		responses := watcher.Watch(lasting, r.Start, opts...)
		context.AfterFunc(ctx, cancel)
		select {
		case started <- responses:
		case <-ctx.Done():
		}
	}()
	return started
}

// RequestProgress asks etcd to say, with a response that has no events, how far
// the watch has come. The answer comes only once the watch has caught up. It
// fails when the watch has ended.
func (w *RawWatch) RequestProgress() error { return w.requestProgress() }

// Close ends the watch, and returns when nothing of it is left in etcd's client.
func (w *RawWatch) Close() { w.close() }

// Explain adds to the error that the watch ended with why it did, where etcd's
// client has not said.
func (w *RawWatch) Explain(err error) error { return w.stream.explain(err) }

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
	code := codeOf(err)
	return code == codes.Unavailable || code == codes.Aborted // see singleStream
}
