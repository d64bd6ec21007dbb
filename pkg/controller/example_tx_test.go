package controller_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/events"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// A Deployment gets one ConfigMap for each of its annotations. The function only
// declares them: Apply creates the missing ones and deletes the others.
func ExampleApply() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	reconcile := func(_ context.Context, tx *controller.Tx, d *appsv1.Deployment) (controller.Result, error) {
		var declared []*corev1.ConfigMap
		for _, name := range slices.Sorted(maps.Keys(d.Annotations)) {
			declared = append(declared, &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"value": d.Annotations[name]}})
		}
		var before []string
		for child := range controller.Owned[*corev1.ConfigMap](tx, d) {
			before = append(before, child.Name+"="+child.Data["value"])
		}
		applied, err := controller.Apply(tx, d, declared...)
		if err != nil {
			return controller.Result{}, err
		}
		fmt.Println("it has", before, "and declares", len(applied))
		switch len(before) {
		case 2: // what was declared is there: declare something else
			d.Annotations = map[string]string{"theme": "light"}
			tx.Update(d)
		case 1:
			stop()
		}
		return controller.Result{}, nil
	}
	must(controller.New(m, "config", reconcile, controller.Options{},
		controller.For[*appsv1.Deployment](), controller.Owns[*corev1.ConfigMap]()))

	web := deployment("town", "web")
	web.Annotations = map[string]string{"theme": "dark", "language": "en"}
	add(ctx, m, web)
	check(m.Run(ctx))
	// Output:
	// it has [] and declares 2
	// it has [language=en theme=dark] and declares 2
	// it has [language=en theme=dark] and declares 1
	// it has [theme=light] and declares 1
}

// A Deployment gets a port that no other one in its namespace has. Two reconciles at
// the same time cannot choose the same port, since each changes what the other one has
// read.
func ExampleTx_Serializable() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	var once sync.Once
	reconcile := func(_ context.Context, tx *controller.Tx, d *appsv1.Deployment) (controller.Result, error) {
		tx.Serializable()
		taken := map[string]bool{}
		for other := range controller.List[*appsv1.Deployment](tx, informer.ListOptions{Namespace: d.Namespace}) {
			taken[other.Annotations["port"]] = true
		}
		delete(taken, "")
		if len(taken) == 3 {
			once.Do(func() { fmt.Println(slices.Sorted(maps.Keys(taken))) })
			stop()
		}
		if d.Annotations["port"] != "" {
			return controller.Result{}, nil
		}
		port := 8080
		for taken[fmt.Sprint(port)] {
			port++
		}
		d.Annotations = map[string]string{"port": fmt.Sprint(port)}
		tx.Update(d)
		return controller.Result{}, nil
	}
	must(controller.New(m, "port", reconcile, controller.Options{Workers: 3}))

	add(ctx, m, deployment("town", "a"), deployment("town", "b"), deployment("town", "c"))
	check(m.Run(ctx))
	// Output: [8080 8081 8082]
}

// A reconcile creates 1000 children, too many for one etcd transaction, and reports
// them in the status, which is written last.
func ExampleTx_AllowSplit() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	reconcile := func(_ context.Context, tx *controller.Tx, d *appsv1.Deployment) (controller.Result, error) {
		if d.Status.Replicas == 1000 {
			fmt.Println("children:", len(slices.Collect(controller.Owned[*corev1.ConfigMap](tx, d))))
			stop()
			return controller.Result{}, nil
		}
		tx.AllowSplit()
		var children []*corev1.ConfigMap
		for i := range 1000 {
			children = append(children, configMap(d.Namespace, fmt.Sprintf("%s-%d", d.Name, i)))
		}
		if _, err := controller.Apply(tx, d, children...); err != nil {
			return controller.Result{}, err
		}
		d.Status.Replicas = 1000
		tx.UpdateStatus(d)
		return controller.Result{}, nil
	}
	must(controller.New(m, "many", reconcile, controller.Options{}, controller.Owns[*corev1.ConfigMap]()))

	add(ctx, m, deployment("town", "web"))
	check(m.Run(ctx))
	// Output: children: 1000
}

// A finalizer protects a resource outside etcd: the resource is created after the
// finalizer, and deleted before the object is.
func ExampleTx_AddFinalizer() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	const finalizer = "example.com/dns"
	reconcile := func(_ context.Context, tx *controller.Tx, d *appsv1.Deployment) (controller.Result, error) {
		switch {
		case d.DeletionTimestamp != nil:
			fmt.Println("take the name out of the DNS")
			tx.RemoveFinalizer(d, finalizer)
			stop()
		case tx.AddFinalizer(d, finalizer):
			fmt.Println("first the finalizer")
		default:
			fmt.Println("put the name into the DNS")
			tx.Delete(d, store.DeleteOptions{})
		}
		return controller.Result{}, nil
	}
	must(controller.New(m, "dns", reconcile, controller.Options{}))

	add(ctx, m, deployment("town", "web"))
	check(m.Run(ctx))
	// Output:
	// first the finalizer
	// put the name into the DNS
	// take the name out of the DNS
}

// A reconcile that fails says so in the status, and is tried again after its backoff.
func ExampleTx_Fail() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	tries := 0
	reconcile := func(ctx context.Context, tx *controller.Tx, d *appsv1.Deployment) (controller.Result, error) {
		tries++
		if tries < 3 {
			err := fmt.Errorf("try %d: the registry does not answer", tries)
			d.Annotations = map[string]string{"example.com/error": err.Error()}
			tx.UpdateStatus(d)
			return controller.Result{}, tx.Fail(ctx, err)
		}
		fmt.Println("the last report was:", d.Annotations["example.com/error"])
		stop()
		return controller.Result{}, nil
	}
	must(controller.New(m, "images", reconcile, controller.Options{}))

	add(ctx, m, deployment("town", "web"))
	check(m.Run(ctx))
	// Output: the last report was: try 2: the registry does not answer
}

// A reconcile sets a condition in the status, and records an Event for people to read.
// The Event is recorded after the status is written.
func ExampleTx_SetCondition() {
	type DoorSpec struct {
		Locked bool `json:"locked,omitempty"`
	}
	type DoorStatus struct {
		Conditions []metav1.Condition `json:"conditions,omitempty"`
	}
	type Door = store.Resource[DoorSpec, DoorStatus]

	ctx, stop := context.WithCancel(context.Background())
	cluster, err := etcdtest.Run(ctx, etcdtest.Options{})
	check(err)
	defer cluster.Close()
	s, err := store.New(cluster.Client(), store.Options{Kinds: []store.AnyKind{store.Kind[*Door]{
		GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Door"},
	}}})
	check(err)
	recorder, err := events.New(s, events.Options{Controller: "example.com/door"})
	check(err)
	m, err := controller.NewManager(s, controller.ManagerOptions{Events: recorder})
	check(err)
	check(m.Add("events", recorder.Run, controller.RunnableOptions{StopLast: true})) // it has what comes until the end

	reconcile := func(_ context.Context, tx *controller.Tx, door *Door) (controller.Result, error) {
		closed := metav1.Condition{Type: "Closed", Status: metav1.ConditionFalse, Reason: "Unlocked"}
		if door.Spec.Locked {
			closed.Status, closed.Reason = metav1.ConditionTrue, "Locked"
		}
		if tx.SetCondition(door, &door.Status.Conditions, closed) {
			tx.Eventf(door, nil, corev1.EventTypeNormal, closed.Reason, "Watch", "the door is %s", closed.Reason)
			return controller.Result{}, nil
		}
		c := door.Status.Conditions[0]
		fmt.Println(c.Type, c.Status, c.Reason, "as of generation", c.ObservedGeneration)
		stop()
		return controller.Result{}, nil
	}
	must(controller.New(m, "door", reconcile, controller.Options{}))

	door := &Door{ObjectMeta: metav1.ObjectMeta{Namespace: "town", Name: "front"}, Spec: DoorSpec{Locked: true}}
	add(ctx, m, door)
	check(m.Run(ctx))
	// Output: Closed True Locked as of generation 1
}

// An index finds all ConfigMaps of a namespace that have a theme.
func ExampleLookup() {
	ctx, m, stop, closeEtcd := newExample()
	defer closeEtcd()

	configMaps, err := informer.For[*corev1.ConfigMap](m.Replica())
	check(err)
	byTheme := configMaps.AddIndex(func(c *corev1.ConfigMap) []string { return []string{c.Data["theme"]} })

	reconcile := func(_ context.Context, tx *controller.Tx, d *appsv1.Deployment) (controller.Result, error) {
		extra := configMap(d.Namespace, "extra")
		extra.Data = map[string]string{"theme": "dark"}
		tx.Create(extra) // what the transaction writes is found, too
		for c := range controller.Lookup(tx, byTheme, "dark", d.Namespace) {
			fmt.Println(c.Name)
		}
		stop()
		return controller.Result{}, nil
	}
	must(controller.New(m, "theme", reconcile, controller.Options{}))

	dark, light := configMap("town", "dark"), configMap("town", "light")
	dark.Data, light.Data = map[string]string{"theme": "dark"}, map[string]string{"theme": "light"}
	add(ctx, m, dark, light, deployment("town", "web"))
	check(m.Run(ctx))
	// Output:
	// dark
	// extra
}
