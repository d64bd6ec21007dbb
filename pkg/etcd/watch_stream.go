package etcd

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

// newWatcher returns a watcher for one watch. It shares the connection of client.
// The caller closes it after the watch.
//
// The client's own watcher has two faults that a watcher of its own stream avoids.
// It replaces a broken stream silently, so the watch continues, perhaps on an etcd
// that was wiped or restored. And a watch that is cancelled before etcd answers
// leaves a stream behind that tries to connect for as long as the client lives.
//
// A Watcher that replaced the client's own, for example one from
// clientv3/namespace, is used as it is.
func newWatcher(client *clientv3.Client, onReceive func(*pb.WatchResponse) error) (clientv3.Watcher, *singleStream) {
	stream := &singleStream{WatchClient: pb.NewWatchClient(client.ActiveConnection()), onReceive: onReceive}
	own := clientv3.NewWatchFromWatchClient(stream, client)
	if reflect.TypeOf(own) != reflect.TypeOf(client.Watcher) {
		return sharedWatcher{client.Watcher}, stream
	}
	return own, stream
}

// sharedWatcher is a watcher that belongs to the client: Close leaves it open.
type sharedWatcher struct{ clientv3.Watcher }

func (sharedWatcher) Close() error { return nil }

// singleStream opens one gRPC stream. It refuses to open a second one.
type singleStream struct {
	pb.WatchClient
	onReceive func(*pb.WatchResponse) error

	mu sync.Mutex // guards the fields below
	// opened is set when the stream has been opened.
	opened bool
	// failure is why the stream was not opened, or why it ended.
	failure error
}

func (s *singleStream) Watch(ctx context.Context, opts ...grpc.CallOption) (pb.Watch_WatchClient, error) {
	s.mu.Lock()
	opened, failure := s.opened, s.failure
	s.mu.Unlock()
	if opened { // the client gives up on this code
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

// explain implements [Watch.Explain].
func (s *singleStream) explain(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil || s.opened && !errors.Is(err, ErrWatchClosed) {
		return err
	}
	return fmt.Errorf("%w (%w)", err, s.failure)
}

// observedStream calls onReceive for each response, and records how the stream
// ended.
type observedStream struct {
	pb.Watch_WatchClient
	single *singleStream
}

func (o *observedStream) Recv() (*pb.WatchResponse, error) {
	resp, err := o.Watch_WatchClient.Recv()
	if err == nil && o.single.onReceive != nil {
		if refused := o.single.onReceive(resp); refused != nil {
			// On this code the client gives up and drops its buffer.
			resp, err = nil, status.Error(codes.ResourceExhausted, refused.Error())
		}
	}
	if err != nil {
		o.single.mu.Lock()
		o.single.failure = err
		o.single.mu.Unlock()
	}
	return resp, err
}
