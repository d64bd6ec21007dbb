package main

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// The sides of a comparison. The names of client-go's variants follow its own.
const (
	ours = "ours"
	peer = "client-go"
	raw  = "raw"
)

// The dividend and the divisor of a ratio.
const (
	oursOfRaw  = "ours / raw"
	oursOfPeer = "ours / client-go"
	peerOfOurs = "client-go / ours"
)

func newStore(client *clientv3.Client) (*store.Store, error) {
	return store.New(client, store.Options{Kinds: []store.AnyKind{
		store.Kind[*appsv1.Deployment]{GroupVersionKind: deploymentKind},
		store.Kind[*appsv1.ReplicaSet]{GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("ReplicaSet")},
	}})
}

// startReplica starts a replica of Deployments, which runs until stop is called. It does
// not wait for the sync.
func startReplica(ctx context.Context, client *clientv3.Client) (*informer.Informer[*appsv1.Deployment], func(), error) {
	s, err := newStore(client)
	if err != nil {
		return nil, nil, err
	}
	return runReplica[*appsv1.Deployment](ctx, s)
}

func runReplica[T store.Object](ctx context.Context, s *store.Store) (*informer.Informer[T], func(), error) {
	r := informer.NewReplica(s, informer.Options{})
	inf, err := informer.For[T](r)
	if err != nil {
		return nil, nil, err
	}
	return inf, background(ctx, func(ctx context.Context) { _ = r.Run(ctx) }), nil
}

// startInformer starts client-go's informer of Deployments, which runs until stop is
// called.
func startInformer(ctx context.Context, client *clientv3.Client, setting string) (cache.SharedIndexInformer, func(), error) {
	inf, err := newInformer(client, setting)
	if err != nil {
		return nil, nil, err
	}
	return inf, background(ctx, inf.RunWithContext), nil
}

// awaitInformer waits until an informer has synced, without polling.
func awaitInformer(ctx context.Context, inf cache.SharedIndexInformer) error {
	select {
	case <-inf.HasSyncedChecker().Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// background runs f until stop is called, which waits for its end.
func background(ctx context.Context, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}
