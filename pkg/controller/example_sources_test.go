package controller_test

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/condition"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Keys come from another part of the program, such as an HTTP handler.
func ExampleFromChannel() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	hooks := make(chan string)
	reconcile := func(_ context.Context, repository string) (controller.Result, error) {
		fmt.Println("build", repository)
		stop()
		return controller.Result{}, nil
	}
	must(controller.NewReconciler(m, "build", controller.ReconcilerFunc[string](reconcile), controller.Options{},
		controller.FromChannel(hooks)))

	go func() { hooks <- "homeostat" }()
	check(m.Run(ctx))
	// Output: build homeostat
}

// Machines outside etcd are checked periodically.
func ExampleEvery() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	machines := func(context.Context) []string { return []string{"m1", "m2"} }
	seen := 0
	reconcile := func(ctx context.Context, machine string) (controller.Result, error) {
		causes, _ := controller.Causes(ctx)
		fmt.Println("look after", machine, "because of the", causes[0].Type)
		if seen++; seen == 2 {
			stop()
		}
		return controller.Result{}, nil
	}
	must(controller.NewReconciler(m, "machines", controller.ReconcilerFunc[string](reconcile), controller.Options{},
		controller.Every(time.Minute, machines)))
	check(m.Run(ctx))
	// Output:
	// look after m1 because of the timer
	// look after m2 because of the timer
}

// Deployments describe machines that can change without notice, so all of them are
// reconciled periodically.
func ExampleResync() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	looks := 0
	reconcile := func(_ context.Context, _ *controller.Tx, d *appsv1.Deployment) (controller.Result, error) {
		fmt.Println("look at", d.Name)
		if looks++; looks == 3 {
			stop()
		}
		return controller.Result{}, nil
	}
	must(controller.New(m, "drift", reconcile, controller.Options{},
		controller.Resync[*appsv1.Deployment](time.Millisecond))) // elsewhere: time.Hour
	add(ctx, m, deployment("town", "web"))
	check(m.Run(ctx))
	// Output:
	// look at web
	// look at web
	// look at web
}

// A source is added while the controller runs, and removed when it is not needed any
// more.
func ExampleController_AddSource() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	var (
		c      *controller.Controller[controller.Request]
		remove func()
	)
	reconcile := func(_ context.Context, req controller.Request) (controller.Result, error) {
		fmt.Println("reconcile", req.Name)
		switch req.Name {
		case "web": // from now on, it needs a theme
			var err error
			remove, err = c.AddSource(controller.WatchesEvents(
				func(_ context.Context, e informer.Event[*corev1.ConfigMap]) []controller.Request {
					return []controller.Request{{Key: store.KeyOf(e.Object)}}
				}))
			return controller.Result{}, err
		case "theme":
			remove()
			stop()
		}
		return controller.Result{}, nil
	}
	c = must(controller.NewFor[*appsv1.Deployment](m, "config", controller.ReconcilerFunc[controller.Request](reconcile), controller.Options{}))
	add(ctx, m, configMap("town", "theme"), deployment("town", "web"))
	check(m.Run(ctx))
	// Output:
	// reconcile web
	// reconcile theme
}

// Another part of the program requeues a key.
func ExampleController_RequeueAfter() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	var c *controller.Controller[controller.Request]
	var asked bool
	reconcile := func(_ context.Context, req controller.Request) (controller.Result, error) {
		fmt.Println("reconcile", req.Name)
		if asked {
			stop()
			return controller.Result{}, nil
		}
		asked = true
		return controller.Result{}, c.RequeueAfter(controller.Request{Key: store.Key{Namespace: "town", Name: "other"}}, time.Millisecond)
	}
	c = must(controller.NewFor[*appsv1.Deployment](m, "c", controller.ReconcilerFunc[controller.Request](reconcile), controller.Options{}))
	add(ctx, m, deployment("town", "web"))
	check(m.Run(ctx))
	// Output:
	// reconcile web
	// reconcile other
}

// A reconcile prints what caused it.
func ExampleCauses() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	reconcile := func(ctx context.Context, _ controller.Request) (controller.Result, error) {
		causes, total := controller.Causes(ctx)
		fmt.Println(total, causes[0].Type, causes[0].Kind, causes[0].Object)
		stop()
		return controller.Result{}, nil
	}
	must(controller.NewFor[*appsv1.Deployment](m, "c", controller.ReconcilerFunc[controller.Request](reconcile), controller.Options{}))
	add(ctx, m, deployment("town", "web"))
	check(m.Run(ctx))
	// Output: 1 initial Deployment town/web
}

// A source watches another etcd, whose replica the manager runs.
func ExampleManager_AddReplica() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()
	cluster, err := etcdtest.Run(ctx, etcdtest.Options{})
	check(err)
	defer cluster.Close()
	edge, err := store.New(cluster.Client(), store.Options{Scheme: scheme.Scheme})
	check(err)

	replica := informer.NewReplica(edge, informer.Options{})
	maps, err := informer.For[*corev1.ConfigMap](replica)
	check(err)
	check(m.AddReplica("edge", replica))
	reconcile := func(_ context.Context, req controller.Request) (controller.Result, error) {
		fmt.Println("at the edge:", req.Name)
		stop()
		return controller.Result{}, nil
	}
	must(controller.NewReconciler(m, "edge-config", controller.ReconcilerFunc[controller.Request](reconcile), controller.Options{},
		controller.WatchesInformer(maps, func(_ context.Context, cm *corev1.ConfigMap) []controller.Request {
			return []controller.Request{{Key: store.KeyOf(cm)}}
		})))
	_, err = edge.Create(ctx, configMap("town", "theme"))
	check(err)
	check(m.Run(ctx))
	// Output: at the edge: theme
}

// Deployments share a ConfigMap that none of them controls. All owners are reconciled
// when it changes.
func ExampleOwnsAny() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	reconcile := func(_ context.Context, req controller.Request) (controller.Result, error) {
		fmt.Println("reconcile", req.Name)
		stop()
		return controller.Result{}, nil
	}
	none := informer.Or[*appsv1.Deployment]() // it passes nothing
	must(controller.NewFor[*appsv1.Deployment](m, "c", controller.ReconcilerFunc[controller.Request](reconcile), controller.Options{},
		controller.For(none), controller.OwnsAny[*corev1.ConfigMap]()))
	web, shared := deployment("town", "web"), configMap("town", "shared")
	add(ctx, m, web)
	shared.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: web.Name, UID: web.UID}}
	add(ctx, m, shared)
	check(m.Run(ctx))
	// Output: reconcile web
}

// Filters say which changes matter: here, changes of the spec or the labels of large
// Deployments with a label. One of the filters is an expression, which could come from
// the program's user.
func ExampleFor() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	reconcile := func(_ context.Context, _ *controller.Tx, d *appsv1.Deployment) (controller.Result, error) {
		fmt.Println("reconcile", d.Name)
		stop()
		return controller.Result{}, nil
	}
	large, err := condition.Where[*appsv1.Deployment]("object.spec.replicas > 10")
	check(err)
	must(controller.New(m, "scale", reconcile, controller.Options{}, controller.For(
		informer.LabelSelector[*appsv1.Deployment](labels.SelectorFromSet(labels.Set{"app": "shop"})),
		informer.Or(informer.GenerationChanged[*appsv1.Deployment](), informer.LabelsChanged[*appsv1.Deployment]()),
		large)))
	front, back := deployment("town", "front"), deployment("town", "back")
	front.Labels, back.Labels = map[string]string{"app": "shop"}, map[string]string{"app": "shop"}
	front.Spec.Replicas, back.Spec.Replicas = new(int32(5)), new(int32(50))
	add(ctx, m, deployment("town", "other"), front, back)
	check(m.Run(ctx))
	// Output: reconcile back
}

// A burst of changes of one object is reconciled once.
func ExampleDebounced() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	reconcile := func(_ context.Context, _ *controller.Tx, config *corev1.ConfigMap) (controller.Result, error) {
		fmt.Println("load", config.Name)
		stop()
		return controller.Result{}, nil
	}
	must(controller.New(m, "load", reconcile, controller.Options{},
		controller.Debounced(informer.Debounce{Quiet: 100 * time.Millisecond}, controller.For[*corev1.ConfigMap]())))
	add(ctx, m, configMap("town", "theme"))
	check(m.Run(ctx))
	// Output: load theme
}
