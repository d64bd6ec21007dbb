package etcd

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

// Watch is one etcd watch on a gRPC stream of its own. Two watches must not share a
// stream: etcd's client may pass the progress notification of one to the other,
// which then silently loses events.
//
// A Watch ends when the context passed to [OpenWatch] is done or Close is called.
// One of them must happen, or the stream leaks. A Watch also ends when its
// connection is lost, with an error for which [Resumable] reports true. etcd's own
// client would continue on the next etcd that it reaches, even one that was wiped or
// restored. So before you open the next watch, check that etcd's revision is not
// below the last one that you have seen.
//
// If the client's Watcher was replaced, for example by one from clientv3/namespace,
// the Watch uses that Watcher, and a lost connection does not end it.
//
// While a range is idle, etcd sends a progress notification about every ten minutes.
// Use RequestProgress to get one sooner.
type Watch struct {
	// Created is etcd's revision when it created the watch.
	Created int64
	// Responses delivers the changes. All events of one revision are in one
	// response. The channel is closed when the watch ends; the last response may say
	// why, see [WatchError]. Read it without delay: etcd's client buffers responses
	// without bound. To limit the buffer, use [WatchOptions].OnReceive.
	Responses clientv3.WatchChan

	stream          *singleStream
	requestProgress func() error
	close           func()
}

// WatchOptions configure [OpenWatch]. The zero value is useful.
type WatchOptions struct {
	// PreviousValues asks for the value before each change, in the PrevKv of an
	// event. Defaults to false: the event of a deletion then has a key and no value.
	PreviousValues bool

	// OnReceive is called for each response when it arrives, which may be long before
	// it is read from Responses. If etcd sends a large response in fragments,
	// OnReceive is called for each fragment. If it returns an error, the watch ends
	// and drops all responses that were not read yet. Calls do not overlap. It must
	// be fast. It is never called if the client's Watcher was replaced. Defaults to
	// none.
	OnReceive func(*pb.WatchResponse) error
}

// OpenWatch opens a watch on a range, for the changes at revision from and later. It
// returns when etcd has created the watch. The revision from must be above 0.
//
// If etcd has compacted some of the changes, OpenWatch still succeeds. The watch
// ends soon afterwards, and [WatchError] returns a [CompactedError]. If etcd has not
// reached the revision from, the watch waits for it. To refuse such a revision,
// compare it with Created.
func OpenWatch(ctx context.Context, client *clientv3.Client, r Range, from int64, o WatchOptions) (*Watch, error) {
	w, err := openWatch(ctx, client, r, from, o)
	if err != nil {
		return nil, fmt.Errorf("watch %s from revision %d: %w", r.Start, from, err)
	}
	return w, nil
}

func openWatch(ctx context.Context, client *clientv3.Client, r Range, from int64, o WatchOptions) (w *Watch, err error) {
	switch {
	case from <= 0: // 0 would mean "now", at an unknown revision
		return nil, errors.New("the revision must be above 0")
	case client.Ctx().Err() != nil:
		return nil, errors.New("the etcd client is closed")
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	err = Retry(ctx, client, func(attempt context.Context) (err error) {
		w, err = openWatchOnce(ctx, attempt, client, r, from, o)
		return err
	})
	return w, err
}

// openWatchOnce opens a watch that ends with ctx. created bounds the wait for its creation.
func openWatchOnce(ctx, created context.Context, client *clientv3.Client, r Range, from int64, o WatchOptions) (*Watch, error) {
	// The client opens a stream for each distinct set of metadata. WithRequireLeader
	// ends the watch when its member loses the other members; without it, the watch
	// would be silent for as long as that lasts.
	ctx = metadata.AppendToOutgoingContext(clientv3.WithRequireLeader(ctx), "homeostat-watch", uuid.NewString())
	ctx, cancel := context.WithCancel(ctx)
	watcher, stream := newWatcher(client, o.OnReceive)
	end := sync.OnceFunc(func() {
		cancel()
		_ = watcher.Close() // it reports only how the stream ended
	})
	stop := context.AfterFunc(ctx, end)
	w := &Watch{
		stream:          stream,
		requestProgress: func() error { return watcher.RequestProgress(ctx) },
		close:           func() { stop(); end() },
	}
	if err := w.awaitCreated(created, startWatch(ctx, watcher, r, o.opOptions(r, from))); err != nil {
		err = cmp.Or(ctx.Err(), err)
		w.Close()
		return nil, w.Explain(err)
	}
	return w, nil
}

func (o WatchOptions) opOptions(r Range, from int64) []clientv3.OpOption {
	opts := []clientv3.OpOption{
		clientv3.WithRange(r.End), clientv3.WithRev(from),
		clientv3.WithCreatedNotify(), clientv3.WithProgressNotify(), clientv3.WithFragment(),
	}
	if o.PreviousValues {
		opts = append(opts, clientv3.WithPrevKV())
	}
	return opts
}

func (w *Watch) awaitCreated(ctx context.Context, started <-chan clientv3.WatchChan) error {
	select {
	case w.Responses = <-started:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case resp, ok := <-w.Responses:
		if err := WatchError(resp, ok); err != nil {
			return err
		}
		w.Created = resp.Header.GetRevision()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startWatch starts a watch that ends with ctx, and sends its channel unless ctx is
// done first. The context for Watch must stay valid until Watch returns: if it is
// done while the client waits for a connection, a replaced Watcher keeps the stream
// for ever.
func startWatch(ctx context.Context, watcher clientv3.Watcher, r Range, opts []clientv3.OpOption) <-chan clientv3.WatchChan {
	watchCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	started := make(chan clientv3.WatchChan)
	go func() {
		responses := watcher.Watch(watchCtx, r.Start, opts...)
		context.AfterFunc(ctx, cancel)
		select {
		case started <- responses:
		case <-ctx.Done():
		}
	}()
	return started
}

// RequestProgress asks etcd for a progress notification: a response without events
// whose header has the revision that the watch has reached. etcd answers only when
// the watch has caught up. RequestProgress fails if the watch has ended.
func (w *Watch) RequestProgress() error { return w.requestProgress() }

// Close ends the watch. It returns when etcd's client has released everything that
// belongs to it. Calls after the first do nothing.
func (w *Watch) Close() { w.close() }

// Explain takes the error of [WatchError] and adds the cause to it, if the watch
// knows more than etcd's client reported. Otherwise it returns err as it is.
func (w *Watch) Explain(err error) error { return w.stream.explain(err) }

// ErrWatchClosed means that a watch ended and etcd gave no reason.
var ErrWatchClosed = errors.New("the watch was closed")

// CompactedError means that etcd has compacted some of the requested changes.
// [apierrors.IsResourceExpired] is true for it.
type CompactedError struct {
	// Revision is the oldest revision that etcd still has.
	Revision int64
	err      error
}

func (e *CompactedError) Error() string {
	return fmt.Sprintf("%v: the oldest revision left is %d", e.err, e.Revision)
}

// Unwrap returns an error that wraps Kubernetes' ResourceExpired and etcd's
// ErrCompacted.
func (e *CompactedError) Unwrap() error { return e.err }

// WatchError takes the two results of a receive from [Watch].Responses. It returns
// why the watch ended, or nil if the watch continues.
func WatchError(resp clientv3.WatchResponse, ok bool) error {
	switch {
	case !ok:
		return ErrWatchClosed
	case resp.CompactRevision != 0:
		return &CompactedError{Revision: resp.CompactRevision, err: ExplainError(rpctypes.ErrCompacted)}
	case resp.Err() != nil:
		return ExplainError(restoreError(resp.Err()))
	}
	return nil
}

// restoreError returns the error with which etcd refused to create a watch. etcd's
// client keeps only its text.
func restoreError(err error) error {
	for _, known := range []error{
		rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty, rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthOldRevision,
		rpctypes.ErrNoLeader,
	} {
		if strings.HasSuffix(err.Error(), known.Error()) {
			return known
		}
	}
	return err
}

// Resumable reports whether the connection or the cluster caused err, and not the
// request. If a watch ended with such an error, open it again at the revision where
// it ended. Resumable also works for errors of reads and writes.
func Resumable(err error) bool {
	if errors.Is(err, ErrWatchClosed) || errors.Is(err, rpctypes.ErrNoLeader) {
		return true
	}
	code := ErrorCode(err)
	return code == codes.Unavailable || code == codes.Aborted // see singleStream
}
