package main

import (
	"bytes"
	"context"
	"errors"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// feed replaces etcd where etcd would be slower than the measured code. It holds keys in
// memory and sends each change to its only watch, in its own response.
type feed struct {
	mu       sync.Mutex
	revision int64
	kvs      []*mvccpb.KeyValue // in the order of keys
	watch    chan clientv3.WatchResponse
	watched  chan struct{} // closed when the watch was opened
}

var errFeed = errors.New("feed: not something that a replica asks for")

func newFeed(kvs []*mvccpb.KeyValue) *feed {
	for _, kv := range kvs {
		kv.CreateRevision, kv.ModRevision, kv.Version = 1, 1, 1
	}
	return &feed{revision: 1, kvs: kvs, watch: make(chan clientv3.WatchResponse, watchBuffer), watched: make(chan struct{})}
}

// client returns an etcd client that reads and watches the feed.
func (f *feed) client(ctx context.Context) *clientv3.Client {
	c := clientv3.NewCtxClient(ctx)
	c.KV, c.Watcher = f, f
	return c
}

// put changes the value of the i-th key and sends the change. It waits until there is a
// watch, and while too many changes are unread.
func (f *feed) put(i int, value []byte) {
	<-f.watched
	f.mu.Lock()
	f.revision++
	old := f.kvs[i]
	kv := &mvccpb.KeyValue{Key: old.Key, Value: value, CreateRevision: 1, ModRevision: f.revision, Version: old.Version + 1}
	f.kvs[i] = kv
	f.mu.Unlock()
	f.watch <- clientv3.WatchResponse{
		Header: &pb.ResponseHeader{Revision: kv.ModRevision},
		Events: []*clientv3.Event{{Type: mvccpb.PUT, Kv: kv}},
	}
}

func (f *feed) header() *pb.ResponseHeader { return &pb.ResponseHeader{Revision: f.revision} }

// Get returns the revision, or one key.
func (f *feed) Get(_ context.Context, key string, _ ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	resp := &clientv3.GetResponse{Header: f.header()}
	for _, kv := range f.kvs {
		if string(kv.Key) == key {
			resp.Kvs = append(resp.Kvs, kv)
		}
	}
	return resp, nil
}

// GetStream streams everything, in chunks.
func (f *feed) GetStream(context.Context, string, ...clientv3.OpOption) (clientv3.GetStreamChan, error) {
	const chunk = 1000
	f.mu.Lock()
	defer f.mu.Unlock()
	chunks := make(chan clientv3.RangeStreamResponse, len(f.kvs)/chunk+1)
	for from := 0; from < len(f.kvs); from += chunk {
		chunks <- clientv3.RangeStreamResponse{RangeResponse: &pb.RangeResponse{Header: f.header(), Kvs: f.kvs[from:min(from+chunk, len(f.kvs))]}}
	}
	close(chunks)
	return chunks, nil
}

// Watch serves one watch. It ends with ctx, after the last put.
func (f *feed) Watch(ctx context.Context, _ string, _ ...clientv3.OpOption) clientv3.WatchChan {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch <- clientv3.WatchResponse{Header: f.header(), Created: true}
	close(f.watched)
	context.AfterFunc(ctx, func() { close(f.watch) })
	return f.watch
}

func (f *feed) RequestProgress(context.Context) error { return nil }
func (f *feed) Close() error                          { return nil }

func (f *feed) Put(context.Context, string, string, ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	return nil, errFeed
}

func (f *feed) Delete(context.Context, string, ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	return nil, errFeed
}

func (f *feed) Compact(context.Context, int64, ...clientv3.CompactOption) (*clientv3.CompactResponse, error) {
	return nil, errFeed
}

func (f *feed) Do(context.Context, clientv3.Op) (clientv3.OpResponse, error) {
	return clientv3.OpResponse{}, errFeed
}

func (f *feed) Txn(context.Context) clientv3.Txn { return &feedTxn{feed: f} }

// feedTxn answers a replica's probes. It creates no keys.
type feedTxn struct {
	feed *feed
	gets []clientv3.Op
}

func (t *feedTxn) If(...clientv3.Cmp) clientv3.Txn  { return t }
func (t *feedTxn) Else(...clientv3.Op) clientv3.Txn { return t }

func (t *feedTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.gets = ops
	return t
}

func (t *feedTxn) Commit() (*clientv3.TxnResponse, error) {
	t.feed.mu.Lock()
	defer t.feed.mu.Unlock()
	resp := &clientv3.TxnResponse{Header: t.feed.header(), Succeeded: true}
	for _, op := range t.gets {
		if !op.IsGet() {
			return nil, errFeed
		}
		found := &pb.RangeResponse{Header: t.feed.header()}
		for _, kv := range t.feed.kvs {
			if bytes.Equal(kv.Key, op.KeyBytes()) {
				found.Kvs = append(found.Kvs, kv)
			}
		}
		resp.Responses = append(resp.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: found}})
	}
	return resp, nil
}
