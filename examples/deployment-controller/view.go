package main

import (
	"context"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// view reads the replica.
type view struct {
	replica     *informer.Replica
	deployments *informer.Informer[*appsv1.Deployment]
	replicaSets *informer.Informer[*appsv1.ReplicaSet]
	pods        *informer.Informer[*corev1.Pod]
}

// state has all objects at one revision.
type state struct {
	revision    int64
	deployments []*appsv1.Deployment
	replicaSets []*appsv1.ReplicaSet
	pods        []*corev1.Pod
}

func newView(r *informer.Replica) (*view, error) {
	v := &view{replica: r}
	var err error
	if v.deployments, err = informer.For[*appsv1.Deployment](r); err != nil {
		return nil, err
	}
	if v.replicaSets, err = informer.For[*appsv1.ReplicaSet](r); err != nil {
		return nil, err
	}
	v.pods, err = informer.For[*corev1.Pod](r)
	return v, err
}

// each calls observe with the current state and after every change, until observe
// returns false or ctx is done. It skips intermediate states.
func (v *view) each(ctx context.Context, observe func(state) bool) {
	changed := make(chan struct{}, 1)
	for _, stop := range []func(){
		notify(v.deployments, changed), notify(v.replicaSets, changed), notify(v.pods, changed),
	} {
		defer stop()
	}
	for observe(v.now()) {
		select {
		case <-changed:
		case <-ctx.Done():
			observe(v.now())
			return
		}
	}
}

func notify[T store.Object](inf *informer.Informer[T], changed chan<- struct{}) (stop func()) {
	return inf.AddHandler(func(context.Context, informer.Event[T]) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}).Remove
}

func (v *view) now() state {
	s := v.replica.Snapshot()
	all := informer.ListOptions{}
	return state{
		revision:    s.Revision(),
		deployments: slices.Collect(v.deployments.List(s, all)),
		replicaSets: slices.Collect(v.replicaSets.List(s, all)),
		pods:        slices.Collect(v.pods.List(s, all)),
	}
}
