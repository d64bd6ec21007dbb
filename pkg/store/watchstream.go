package store

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
)

// newWatcher returns a watcher for one watch, to be closed after it, that shares
// the connection of a client.
//
// The client at large replaces a stream that broke without a word, and the watch
// goes on, perhaps in an etcd that was wiped or restored meanwhile, or so far
// behind that it had better not. A watch that is given up before etcd has
// answered leaves a stream behind, which tries to connect for as long as the
// client lives. Here a watch ends with its stream, the stream with the watch, and
// both when the tap says so.
//
// The Watcher of a client that was replaced, such as by one that adds a prefix to
// all keys, is used as it is.
func newWatcher(client *clientv3.Client, tap Tap) (clientv3.Watcher, *singleStream) {
	stream := &singleStream{WatchClient: pb.NewWatchClient(client.ActiveConnection()), tap: tap}
	own := clientv3.NewWatchFromWatchClient(stream, client)
	if reflect.TypeOf(own) != reflect.TypeOf(client.Watcher) {
		return unclosed{client.Watcher}, stream
	}
	return own, stream
}

// unclosed is a watcher that is somebody else's.
type unclosed struct{ clientv3.Watcher }

func (unclosed) Close() error { return nil }

// singleStream opens one gRPC stream, and refuses to replace it.
type singleStream struct {
	pb.WatchClient
	tap Tap

	mu      sync.Mutex
	opened  bool
	failure error // why it was not opened, or has ended
}

func (s *singleStream) Watch(ctx context.Context, opts ...grpc.CallOption) (pb.Watch_WatchClient, error) {
	s.mu.Lock()
	opened, failure := s.opened, s.failure
	s.mu.Unlock()
	if opened { // with this code the client gives up
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

// explain is [RawWatch.Explain].
func (s *singleStream) explain(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil || s.opened && !errors.Is(err, ErrWatchClosed) {
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
	if err == nil && o.of.tap != nil {
		if refused := o.of.tap(resp); refused != nil {
			// With this code the client gives up, and drops what it has kept.
			resp, err = nil, status.Error(codes.ResourceExhausted, refused.Error())
		}
	}
	if err != nil {
		o.of.mu.Lock()
		o.of.failure = err
		o.of.mu.Unlock()
	}
	return resp, err
}
