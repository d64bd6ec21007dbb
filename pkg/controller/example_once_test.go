package controller_test

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/store"
)

// A program that reconciles one object and ends.
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
