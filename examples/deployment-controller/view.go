package main

import (
	"context"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/controllers"
	"github.com/homeostat/homeostat/examples/deployment-controller/internal/progress"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// view reads the replica.
type view struct {
	replica     *informer.Replica
	deployments *informer.Informer[*appsv1.Deployment]
	replicaSets *informer.Informer[*appsv1.ReplicaSet]
	pods        *informer.Informer[*corev1.Pod]
	owners      *controllers.Owners
}

func newView(r *informer.Replica, owners *controllers.Owners) (*view, error) {
	v := &view{replica: r, owners: owners}
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

// all returns all Deployments.
func (v *view) all() []*appsv1.Deployment {
	return slices.Collect(v.deployments.List(v.replica.Snapshot(), informer.ListOptions{}))
}

// watch adds the keys of Deployments to dirty when they, their ReplicaSets or their Pods
// change, until stop is called.
func (v *view) watch(dirty *dirtyKeys) (stop func()) {
	registrations := []*informer.Registration{
		v.deployments.AddHandler(func(_ context.Context, e informer.Event[*appsv1.Deployment]) {
			dirty.add(store.KeyOf(e.Object))
		}),
		v.replicaSets.AddHandler(func(_ context.Context, e informer.Event[*appsv1.ReplicaSet]) {
			addOwner(dirty, e.Object)
			if e.Old != nil {
				addOwner(dirty, e.Old)
			}
		}),
		v.pods.AddHandler(func(_ context.Context, e informer.Event[*corev1.Pod]) {
			owner := metav1.GetControllerOfNoCopy(e.Object)
			if owner == nil {
				return
			}
			rs, ok := v.replicaSets.Get(v.replica.Snapshot(), store.Key{Namespace: e.Object.Namespace, Name: owner.Name})
			if ok && rs.UID == owner.UID {
				addOwner(dirty, rs)
			}
		}),
	}
	return func() {
		for _, r := range registrations {
			r.Remove()
		}
	}
}

func addOwner(dirty *dirtyKeys, rs *appsv1.ReplicaSet) {
	if owner := metav1.GetControllerOfNoCopy(rs); owner != nil {
		dirty.add(store.Key{Namespace: rs.Namespace, Name: owner.Name})
	}
}

// state returns what is to be shown of some Deployments.
func (v *view) state(keys map[store.Key]struct{}) progress.State {
	snapshot := v.replica.Snapshot()
	s := progress.State{Revision: snapshot.Revision()}
	for key := range keys {
		d, ok := v.deployments.Get(snapshot, key)
		if !ok {
			s.Deleted = append(s.Deleted, key)
			continue
		}
		s.Deployments = append(s.Deployments, d)
		for rs := range v.owners.ReplicaSets.Lookup(snapshot, string(d.UID)) {
			s.ReplicaSets = append(s.ReplicaSets, rs)
			s.Pods = slices.AppendSeq(s.Pods, v.owners.Pods.Lookup(snapshot, string(rs.UID)))
		}
	}
	slices.SortFunc(s.Deleted, compareKeys)
	return s
}
