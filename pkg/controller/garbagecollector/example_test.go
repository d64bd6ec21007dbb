package garbagecollector_test

import (
	"context"
	"fmt"
	"log"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/garbagecollector"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// A ReplicaSet is deleted after the Deployment that owns it.
func ExampleAdd() {
	ctx, stop := context.WithCancel(context.Background())
	cluster, err := etcdtest.Run(ctx, etcdtest.Options{})
	check(err)
	defer cluster.Close()
	s, err := store.New(cluster.Client(), store.Options{Scheme: scheme.Scheme})
	check(err)
	m, err := controller.NewManager(s, controller.ManagerOptions{})
	check(err)
	check(garbagecollector.Add(m, &appsv1.Deployment{}, &appsv1.ReplicaSet{}))

	replicaSets, err := informer.For[*appsv1.ReplicaSet](m.Replica())
	check(err)
	replicaSets.AddHandler(func(_ context.Context, e informer.Event[*appsv1.ReplicaSet]) {
		fmt.Println(e.Type, e.Object.Name)
		if e.Type == store.Deleted {
			stop()
		}
	})

	owner, owned := deployment("web"), replicaSet("web-1")
	_, err = s.Create(ctx, owner)
	check(err)
	ref, err := s.OwnerReference(owner)
	check(err)
	owned.OwnerReferences = append(owned.OwnerReferences, ref)
	_, err = s.Create(ctx, owned)
	check(err)
	_, err = s.Delete(ctx, owner, store.DeleteOptions{})
	check(err)
	check(m.Run(ctx))
	// Output:
	// ADDED web-1
	// DELETED web-1
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
