package controller_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/store"
)

// This program reconciles one object and ends.
func ExampleController_ReconcileOnce() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()
	reconcile := func(_ context.Context, tx *controller.Tx, cm *corev1.ConfigMap) (controller.Result, error) {
		cm.Data = map[string]string{"greeting": "hello " + cm.Name}
		tx.Update(cm)
		return controller.Result{}, nil
	}
	greeter := must(controller.New(m, "greeter", reconcile, controller.Options{}))
	add(ctx, m, configMap("town", "world"))

	ended := make(chan error)
	go func() { ended <- m.Replica().Run(ctx) }()
	check(m.Replica().WaitForSync(ctx))
	key := store.Key{Namespace: "town", Name: "world"}
	_, err := greeter.ReconcileOnce(ctx, controller.Request{Key: key})
	check(err)
	cm, err := store.Get[*corev1.ConfigMap](ctx, m.Store(), key)
	check(err)
	fmt.Println(cm.Data["greeting"])
	stop()
	check(<-ended)
	// Output: hello world
}

// A reconcile queues another key.
func ExampleController_Requeue() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	var c *controller.Controller[controller.Request]
	reconcile := func(_ context.Context, req controller.Request) (controller.Result, error) {
		fmt.Println("reconcile", req.Name)
		if req.Name == "other" {
			stop()
			return controller.Result{}, nil
		}
		return controller.Result{}, c.Requeue(controller.Request{Key: store.Key{Namespace: "town", Name: "other"}})
	}
	c = must(controller.NewFor[*corev1.ConfigMap](m, "c", controller.ReconcilerFunc[controller.Request](reconcile), controller.Options{}))
	add(ctx, m, configMap("town", "web"))
	check(m.Run(ctx))
	// Output:
	// reconcile web
	// reconcile other
}

// KeyState says why a key is not being reconciled, since when, and what comes next.
func ExampleController_KeyState() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	reconcile := func(context.Context, controller.Request) (controller.Result, error) {
		return controller.Result{RequeueAfter: time.Hour}, errors.New("the disk is full")
	}
	c := must(controller.NewFor[*corev1.ConfigMap](m, "c", controller.ReconcilerFunc[controller.Request](reconcile), controller.Options{}))
	add(ctx, m, configMap("town", "web"))
	check(m.Add("look", func(context.Context) error {
		defer stop()
		for c.State().InBackoff == 0 {
			time.Sleep(time.Millisecond)
		}
		s := c.KeyState(controller.Request{Key: store.Key{Namespace: "town", Name: "web"}})
		fmt.Println(s.Phase, "after", s.Failures, "failure:", s.LastError)
		fmt.Println("comes back in", time.Until(s.Next).Round(time.Minute))
		return nil
	}, controller.RunnableOptions{}))
	check(m.Run(ctx))
	// Output:
	// in backoff after 1 failure: the disk is full
	// comes back in 1h0m0s
}

// State counts the keys in each phase, and KeyStates lists those that are not idle.
func ExampleController_State() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	reconcile := func(context.Context, controller.Request) (controller.Result, error) {
		return controller.Result{RequeueAfter: time.Hour}, nil
	}
	c := must(controller.NewFor[*corev1.ConfigMap](m, "c", controller.ReconcilerFunc[controller.Request](reconcile), controller.Options{}))
	add(ctx, m, configMap("town", "one"), configMap("town", "two"))
	check(m.Add("look", func(context.Context) error {
		defer stop()
		for c.State().WaitingForTime < 2 {
			time.Sleep(time.Millisecond)
		}
		states := c.KeyStates(100)
		slices.SortFunc(states, func(a, b controller.KeyState[controller.Request]) int { return cmp.Compare(a.Key.Name, b.Key.Name) })
		for _, s := range states {
			fmt.Println(s.Key.Name, s.Phase)
		}
		return nil
	}, controller.RunnableOptions{}))
	check(m.Run(ctx))
	// Output:
	// one waiting for time
	// two waiting for time
}

// A check says what is wrong. One call of it runs at a time, however many ask.
func ExampleManager_AddHealthCheck() {
	ctx, m, _, closeEtcd := newExample()
	defer closeEtcd()
	check(m.AddHealthCheck("licence", func(context.Context) error { return errors.New("it has run out") }))

	fmt.Println(m.Healthy(ctx))
	// Output: licence: it has run out
}

// A program that serves HTTP itself serves what the manager has to say, too.
func ExampleManager_Handler() {
	_, m, _, closeEtcd := newExample()
	defer closeEtcd()
	mux := http.NewServeMux()
	mux.Handle("/", m.Handler())
	mux.HandleFunc("GET /greeting", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	fmt.Print(w.Code, "\n", w.Body)
	// Output:
	// 503
	// [-]replica main failed: the replica does not run
	// [+]etcd ok
}
