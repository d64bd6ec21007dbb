package informer_test

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"slices"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// scriptedEtcd is an etcd without a history. A script changes its data while a
// watch is open. It sends, through etcd's own client, more changes than a real
// etcd could write, and responses that current versions of etcd do not send.
type scriptedEtcd struct {
	pb.UnimplementedKVServer
	pb.UnimplementedWatchServer
	pb.UnimplementedMaintenanceServer
	version string

	// script makes the next response of a watch, of transactions; nil ends the
	// stream. It is called by one goroutine at a time, with a context that ends
	// with the watch.
	script func(ctx context.Context) *pb.WatchResponse

	watching sync.Mutex // held by the watch that is served
	mu       sync.Mutex
	revision int64
	data     map[string]*mvccpb.KeyValue
}

// serve returns a client of the scripted etcd.
func (e *scriptedEtcd) serve() *clientv3.Client {
	GinkgoHelper()
	e.data, e.revision = map[string]*mvccpb.KeyValue{}, 1
	socket := filepath.Join(GinkgoT().TempDir(), "etcd")
	listener, err := net.Listen("unix", socket)
	Expect(err).NotTo(HaveOccurred())
	server := grpc.NewServer()
	pb.RegisterKVServer(server, e)
	pb.RegisterWatchServer(server, e)
	pb.RegisterMaintenanceServer(server, e)
	go func() { _ = server.Serve(listener) }()
	DeferCleanup(server.Stop)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + socket}, Logger: zap.NewNop()})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(client.Close)
	return client
}

// op puts a value under a key, or deletes the key if the value is empty.
type op struct {
	key   string
	value []byte
}

// transact makes one revision, and returns its events.
func (e *scriptedEtcd) transact(ops ...op) []*mvccpb.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.revision++
	events := make([]*mvccpb.Event, len(ops))
	for i, o := range ops {
		kv := &mvccpb.KeyValue{Key: []byte(o.key), ModRevision: e.revision}
		events[i] = &mvccpb.Event{Type: mvccpb.DELETE, Kv: kv}
		was := e.data[o.key]
		delete(e.data, o.key)
		if o.value == nil {
			continue
		}
		events[i].Type = mvccpb.PUT
		kv.Value, kv.CreateRevision, kv.Version = o.value, e.revision, 1
		if was != nil {
			kv.CreateRevision, kv.Version = was.CreateRevision, was.Version+1
		}
		e.data[o.key] = kv
	}
	return events
}

func (e *scriptedEtcd) head() *pb.ResponseHeader {
	e.mu.Lock()
	defer e.mu.Unlock()
	return &pb.ResponseHeader{Revision: e.revision}
}

func (e *scriptedEtcd) Range(_ context.Context, req *pb.RangeRequest) (*pb.RangeResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.read(req)
}

// Txn reads; nobody may write.
func (e *scriptedEtcd) Txn(_ context.Context, req *pb.TxnRequest) (*pb.TxnResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	resp := &pb.TxnResponse{Header: &pb.ResponseHeader{Revision: e.revision}, Succeeded: true}
	for _, o := range req.Success {
		get := o.GetRequestRange()
		if get == nil || len(req.Compare) > 0 {
			return nil, rpctypes.ErrGRPCPermissionDenied
		}
		read, err := e.read(get)
		if err != nil {
			return nil, err
		}
		resp.Responses = append(resp.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: read}})
	}
	return resp, nil
}

// read is called with mu held.
func (e *scriptedEtcd) read(req *pb.RangeRequest) (*pb.RangeResponse, error) {
	if req.Revision != 0 && req.Revision != e.revision {
		return nil, rpctypes.ErrGRPCCompacted
	}
	resp := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: e.revision}}
	for key, kv := range e.data {
		if req.KeysOnly {
			kv = &mvccpb.KeyValue{Key: kv.Key, CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision, Version: kv.Version}
		}
		if key == string(req.Key) || key > string(req.Key) && key < string(req.RangeEnd) {
			resp.Kvs = append(resp.Kvs, kv)
		}
	}
	slices.SortFunc(resp.Kvs, func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
	if resp.Count = int64(len(resp.Kvs)); req.CountOnly {
		resp.Kvs = nil
	}
	if req.Limit > 0 && resp.Count > req.Limit {
		resp.Kvs, resp.More = resp.Kvs[:req.Limit], true
	}
	return resp, nil
}

func (e *scriptedEtcd) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{Header: e.head(), Version: e.version}, nil
}

// Watch supports one watch for each stream, from the next revision on.
func (e *scriptedEtcd) Watch(stream pb.Watch_WatchServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	e.watching.Lock()
	defer e.watching.Unlock()
	now := e.head()
	w := &scriptedWatch{stream: stream}
	if err := w.send(&pb.WatchResponse{Header: now, Created: true}); err != nil {
		return err
	}
	if first.GetCreateRequest().StartRevision <= now.Revision {
		return w.send(&pb.WatchResponse{Header: now, Canceled: true, CompactRevision: now.Revision + 1})
	}
	go w.sendProgress()
	for stream.Context().Err() == nil {
		resp := e.script(stream.Context())
		if resp == nil {
			return status.Error(codes.Unavailable, "the script ends the stream")
		}
		if err := w.send(resp); err != nil {
			return err
		}
	}
	return nil
}

// scriptedWatch is a watch while it is served.
type scriptedWatch struct {
	stream pb.Watch_WatchServer

	mu   sync.Mutex
	sent int64 // the revision up to which all was sent
}

func (w *scriptedWatch) send(resp *pb.WatchResponse) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = resp.Header.Revision
	return w.stream.Send(resp)
}

// sendProgress answers progress requests until the stream ends. There are no
// other requests.
func (w *scriptedWatch) sendProgress() {
	for {
		if _, err := w.stream.Recv(); err != nil {
			return
		}
		w.mu.Lock()
		err := w.stream.Send(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: w.sent}, WatchId: clientv3.InvalidWatchID})
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}
