package store_test

import (
	"context"
	"path"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// wire intercepts every request of a client and can change its result.
type wire struct {
	mu    sync.Mutex
	sent  []string // the methods called, without the service
	unary func(method string, call func() error) error
	// stream is asked before a stream is opened; an error refuses it.
	stream func(method string) error
}

// tap makes a client use the wire.
func (w *wire) tap(cfg *clientv3.Config) {
	cfg.DialOptions = append(cfg.DialOptions,
		grpc.WithChainUnaryInterceptor(w.interceptUnary), grpc.WithChainStreamInterceptor(w.interceptStream))
}

func (w *wire) interceptUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	w.mu.Lock()
	w.sent = append(w.sent, path.Base(method))
	hook := w.unary
	w.mu.Unlock()
	call := func() error { return invoke(ctx, method, req, reply, cc, opts...) }
	if hook == nil {
		return call()
	}
	return hook(path.Base(method), call)
}

func (w *wire) interceptStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	w.mu.Lock()
	hook := w.stream
	w.mu.Unlock()
	if hook != nil {
		if err := hook(path.Base(method)); err != nil {
			return nil, err
		}
	}
	return open(ctx, desc, cc, method, opts...)
}

// during returns the methods called while f runs.
func (w *wire) during(f func()) []string {
	w.mu.Lock()
	before := len(w.sent)
	w.mu.Unlock()
	f()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent[before:]
}

// onTxn makes f answer the nth transaction from now on, counted from 1. f may
// execute it. A read before a write is a transaction too.
func (w *wire) onTxn(n int, f func(call func() error) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unary = func(method string, call func() error) error {
		if method != "Txn" {
			return call()
		}
		if n--; n != 0 {
			return call()
		}
		return f(call)
	}
}
