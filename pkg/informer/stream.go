package informer

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/homeostat/homeostat/pkg/store"
)

// watchClient returns a client for one watch, to be closed after it, that shares
// the connection of another.
//
// The client at large replaces a stream that broke without a word, and the watch
// goes on, perhaps in an etcd that was wiped or restored meanwhile, or so far
// behind that it had better not. A watch that is given up before etcd has
// answered leaves a stream behind, which tries to connect for as long as the
// client lives. And what nobody reads is kept without bound. Here a watch ends
// with its stream, the stream with the watch, and both when the inflow bursts.
//
// A client whose Watcher was replaced, such as by one that adds a prefix to all
// keys, is used as it is: only the periodic checks then find out, and nothing
// bounds what waits to be applied.
func watchClient(shared *clientv3.Client, in *inflow) (*clientv3.Client, *singleStream) {
	own := clientv3.NewCtxClient(shared.Ctx())
	stream := &singleStream{WatchClient: pb.NewWatchClient(shared.ActiveConnection()), inflow: in}
	own.Watcher = clientv3.NewWatchFromWatchClient(stream, shared)
	if reflect.TypeOf(own.Watcher) != reflect.TypeOf(shared.Watcher) {
		own.Watcher, in.unseen = unclosed{shared.Watcher}, true
	}
	return own, stream
}

// unclosed is a watcher that is somebody else's.
type unclosed struct{ clientv3.Watcher }

func (unclosed) Close() error { return nil }

// singleStream opens one gRPC stream, and refuses to replace it.
type singleStream struct {
	pb.WatchClient
	inflow *inflow

	mu      sync.Mutex
	opened  bool
	failure error // why it was not opened, or has ended
}

func (s *singleStream) Watch(ctx context.Context, opts ...grpc.CallOption) (pb.Watch_WatchClient, error) {
	s.mu.Lock()
	opened, failure := s.opened, s.failure
	s.mu.Unlock()
	if opened {
		return nil, status.Errorf(codes.Aborted, "the connection to etcd was lost: %v", failure)
	}
	stream, err := s.WatchClient.Watch(ctx, opts...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure = err; err != nil {
		return nil, err
	}
	s.opened = true
	return &observedStream{stream, s}, nil
}

// explain adds to the error of a watch why there is no stream, or none any more,
// where the client did not say.
func (s *singleStream) explain(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil || s.opened && !errors.Is(err, store.ErrWatchClosed) {
		return err
	}
	return fmt.Errorf("%w (%w)", err, s.failure)
}

// observedStream takes note of what a stream brings, and of how it ends.
type observedStream struct {
	pb.Watch_WatchClient
	of *singleStream
}

func (o *observedStream) Recv() (*pb.WatchResponse, error) {
	resp, err := o.Watch_WatchClient.Recv()
	if err == nil {
		if burst := o.of.inflow.take(resp); burst != nil {
			// With this code the client gives up, and drops what it has kept.
			resp, err = nil, status.Error(codes.ResourceExhausted, burst.Error())
		}
	}
	if err != nil {
		o.of.mu.Lock()
		o.of.failure = err
		o.of.mu.Unlock()
	}
	return resp, err
}

// unanswered explains why etcd did not answer in time: when there is no
// connection, a new stream is refused with the reason.
func (r *Replica) unanswered(ctx context.Context, err error) error {
	err = fmt.Errorf("no answer from etcd within %v: %w", r.timing.answer, err)
	ctx, cancel := context.WithTimeout(ctx, r.timing.answer)
	defer cancel()
	if _, cause := pb.NewWatchClient(r.store.Client().ActiveConnection()).Watch(ctx); cause != nil {
		return fmt.Errorf("%w (%w)", err, cause)
	}
	return err
}
