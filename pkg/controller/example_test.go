package controller_test

import (
	"context"
	"fmt"
	"log"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// A whole program: a type of its own, and a function that creates a Deployment for
// each object of this type, in one transaction with the object's status.
func ExampleNew() {
	type ShopSpec struct {
		Tills int32 `json:"tills"`
	}
	type ShopStatus struct {
		Open bool `json:"open"`
	}
	type Shop = store.Resource[ShopSpec, ShopStatus]

	ctx, stop := context.WithCancel(context.Background()) // elsewhere: controller.SignalContext()
	cluster, err := etcdtest.Run(ctx, etcdtest.Options{}) // elsewhere: clientv3.New
	check(err)
	defer cluster.Close()
	s, err := store.New(cluster.Client(), store.Options{
		Scheme: scheme.Scheme,
		Kinds: []store.AnyKind{store.Kind[*Shop]{
			GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Shop"},
		}},
	})
	check(err)
	m, err := controller.NewManager(s, controller.ManagerOptions{})
	check(err)

	reconcile := func(ctx context.Context, tx *controller.Tx, shop *Shop) (controller.Result, error) {
		if shop.Status.Open {
			fmt.Printf("%s is open\n", shop.Name)
			stop()
			return controller.Result{}, nil
		}
		tills := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: shop.Namespace, Name: shop.Name}}
		tills.Spec.Replicas = &shop.Spec.Tills
		if err := tx.Own(shop, tills); err != nil {
			return controller.Result{}, err
		}
		tx.Create(tills)
		shop.Status.Open = true
		tx.UpdateStatus(shop)
		fmt.Printf("%s gets %d tills\n", shop.Name, shop.Spec.Tills)
		return controller.Result{}, nil
	}
	must(controller.New(m, "shop", reconcile, controller.Options{}))

	shop := &Shop{ObjectMeta: metav1.ObjectMeta{Namespace: "town", Name: "bakery"}, Spec: ShopSpec{Tills: 2}}
	_, err = s.Create(ctx, shop)
	check(err)
	check(m.Run(ctx))
	// Output:
	// bakery gets 2 tills
	// bakery is open
}

// The keys of a controller can be of any type. Here they are namespaces.
func ExampleNewReconciler() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	maps, err := informer.For[*corev1.ConfigMap](m.Replica())
	check(err)
	type namespace string
	reconcile := func(_ context.Context, ns namespace) (controller.Result, error) {
		n := 0
		for range maps.List(m.Replica().Snapshot(), informer.ListOptions{Namespace: string(ns)}) {
			n++
		}
		fmt.Printf("%s has %d\n", ns, n)
		stop()
		return controller.Result{}, nil
	}
	must(controller.NewReconciler(m, "count", controller.ReconcilerFunc[namespace](reconcile), controller.Options{},
		controller.Watches(func(_ context.Context, cm *corev1.ConfigMap) []namespace {
			return []namespace{namespace(cm.Namespace)}
		})))

	add(ctx, m, configMap("town", "a"), configMap("town", "b"))
	check(m.Run(ctx))
	// Output: town has 2
}

// A reconciler in the form of controller-runtime's writes whenever it likes. Its next
// reconcile of the same object sees what it wrote.
func ExampleNewFor() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	deployments, err := informer.For[*appsv1.Deployment](m.Replica())
	check(err)
	reconcile := func(ctx context.Context, req controller.Request) (controller.Result, error) {
		d, ok := deployments.Get(m.Replica().Snapshot(), req.Key)
		if !ok {
			return controller.Result{}, nil
		}
		fmt.Printf("%s at generation %d has %d\n", req.Name, d.Generation, d.Status.ObservedGeneration)
		if d.Status.ObservedGeneration == d.Generation {
			stop()
			return controller.Result{}, nil
		}
		d = d.DeepCopy() // objects of a snapshot are shared
		d.Status.ObservedGeneration = d.Generation
		_, err := m.Store().UpdateStatus(ctx, d)
		return controller.Result{}, err
	}
	must(controller.NewFor[*appsv1.Deployment](m, "observe", controller.ReconcilerFunc[controller.Request](reconcile), controller.Options{}))

	add(ctx, m, deployment("town", "web"))
	check(m.Run(ctx))
	// Output:
	// web at generation 1 has 0
	// web at generation 1 has 1
}

// An object is reconciled when an object that it owns changes: a deleted child is
// created again.
func ExampleOwns() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	births := 0
	reconcile := func(_ context.Context, tx *controller.Tx, d *appsv1.Deployment) (controller.Result, error) {
		for child := range controller.Owned[*corev1.ConfigMap](tx, d) {
			if births == 2 {
				stop()
				return controller.Result{}, nil
			}
			fmt.Println("an accident happens to", child.Name)
			tx.Delete(child, store.DeleteOptions{})
			return controller.Result{}, nil
		}
		births++
		child := configMap(d.Namespace, d.Name+"-config")
		fmt.Println("create", child.Name)
		if err := tx.Own(d, child); err != nil {
			return controller.Result{}, err
		}
		tx.Create(child)
		return controller.Result{}, nil
	}
	must(controller.New(m, "config", reconcile, controller.Options{}, controller.Owns[*corev1.ConfigMap]()))

	add(ctx, m, deployment("town", "web"))
	check(m.Run(ctx))
	// Output:
	// create web-config
	// an accident happens to web-config
	// create web-config
}

// Deployments are reconciled when a ConfigMap that they name changes.
func ExampleWatches() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	deployments, err := informer.For[*appsv1.Deployment](m.Replica())
	check(err)
	byConfig := deployments.AddIndex(func(d *appsv1.Deployment) []string { return []string{d.Annotations["config"]} })

	users := func(_ context.Context, cm *corev1.ConfigMap) (requests []controller.Request) {
		for d := range byConfig.Lookup(m.Replica().Snapshot(), cm.Name) {
			requests = append(requests, controller.Request{Key: store.KeyOf(d)})
		}
		return requests
	}
	reconcile := func(_ context.Context, req controller.Request) (controller.Result, error) {
		fmt.Println("restart", req.Name)
		stop()
		return controller.Result{}, nil
	}
	must(controller.NewReconciler(m, "restart", controller.ReconcilerFunc[controller.Request](reconcile), controller.Options{},
		controller.Watches(users)))

	web := deployment("town", "web")
	web.Annotations = map[string]string{"config": "theme"}
	add(ctx, m, web, deployment("town", "other"), configMap("town", "theme"))
	check(m.Run(ctx))
	// Output: restart web
}

// A function runs beside the controllers, once the replica has synced.
func ExampleManager_Add() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	maps, err := informer.For[*corev1.ConfigMap](m.Replica())
	check(err)
	check(m.Add("report", func(context.Context) error {
		fmt.Println("ConfigMaps:", maps.Len(m.Replica().Snapshot()))
		stop()
		return nil
	}, controller.RunnableOptions{}))
	add(ctx, m, configMap("town", "a"), configMap("town", "b"))
	check(m.Run(ctx))
	// Output: ConfigMaps: 2
}

// newExample returns a manager on an etcd of its own, a context to run it with, and a
// function that cancels the context.
func newExample() (ctx context.Context, m *controller.Manager, stop func(), closeEtcd func() error) {
	ctx, stop = context.WithCancel(context.Background())
	cluster, err := etcdtest.Run(ctx, etcdtest.Options{})
	check(err)
	s, err := store.New(cluster.Client(), store.Options{Scheme: scheme.Scheme})
	check(err)
	m, err = controller.NewManager(s, controller.ManagerOptions{})
	check(err)
	return ctx, m, stop, cluster.Close
}

func add(ctx context.Context, m *controller.Manager, objects ...store.Object) {
	for _, obj := range objects {
		_, err := m.Store().Create(ctx, obj)
		check(err)
	}
}

func configMap(namespace, name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

func deployment(namespace, name string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

// must returns v, or ends the example on an error.
func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
