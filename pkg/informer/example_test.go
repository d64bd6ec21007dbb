package informer_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// exampleStore returns a store on an etcd in this process. A program connects to
// an etcd that is there already.
func exampleStore(ctx context.Context) (s *store.Store, stop func()) {
	cluster, err := etcdtest.Run(ctx, etcdtest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	s, err = store.New(cluster.Client(), store.Options{Scheme: scheme.Scheme})
	if err != nil {
		log.Fatal(err)
	}
	return s, func() {
		if err := cluster.Close(); err != nil {
			log.Fatal(err)
		}
	}
}

// run runs a replica and returns when it has synced. stop waits for its end.
func run(ctx context.Context, r *informer.Replica) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	if err := r.WaitForSync(ctx); err != nil {
		log.Fatal(err)
	}
	return func() {
		cancel()
		if err := <-done; err != nil {
			log.Fatal(err)
		}
	}
}

func mustCreate(ctx context.Context, s *store.Store, namespace, name, color string) int64 {
	revision, err := s.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Data:       map[string]string{"color": color},
	})
	if err != nil {
		log.Fatal(err)
	}
	return revision
}

// A replica is a local copy of the kinds that For registered.
func ExampleNewReplica() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	mustCreate(ctx, s, "garden", "rose", "red")

	r := informer.NewReplica(s, informer.Options{})
	maps, err := informer.For[*corev1.ConfigMap](r)
	if err != nil {
		log.Fatal(err)
	}
	defer run(ctx, r)()

	rose, ok := maps.Get(r.Snapshot(), store.Key{Namespace: "garden", Name: "rose"})
	fmt.Println(ok, rose.Data["color"])
	// Output: true red
}

func ExampleInformer_List() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	mustCreate(ctx, s, "garden", "violet", "blue")
	mustCreate(ctx, s, "garden", "rose", "red")
	mustCreate(ctx, s, "sea", "coral", "red")

	r := informer.NewReplica(s, informer.Options{})
	maps, err := informer.For[*corev1.ConfigMap](r)
	if err != nil {
		log.Fatal(err)
	}
	defer run(ctx, r)()

	for cm := range maps.List(r.Snapshot(), informer.ListOptions{Namespace: "garden"}) {
		fmt.Println(cm.Name)
	}
	// Output:
	// rose
	// violet
}

// An index finds objects by values that a function computes from each.
func ExampleInformer_AddIndex() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	mustCreate(ctx, s, "garden", "violet", "blue")
	mustCreate(ctx, s, "garden", "rose", "red")
	mustCreate(ctx, s, "sea", "coral", "red")

	r := informer.NewReplica(s, informer.Options{})
	maps, err := informer.For[*corev1.ConfigMap](r)
	if err != nil {
		log.Fatal(err)
	}
	byColor := maps.AddIndex(func(cm *corev1.ConfigMap) []string { return []string{cm.Data["color"]} })
	defer run(ctx, r)()

	for cm := range byColor.Lookup(r.Snapshot(), "red") {
		fmt.Println(store.KeyOf(cm))
	}
	// Output:
	// garden/rose
	// sea/coral
}

// Values are in the order of strings. An object is found once for each of its
// values.
func ExampleIndex_Range() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	mustCreate(ctx, s, "garden", "violet", "blue")
	mustCreate(ctx, s, "garden", "rose", "red")
	mustCreate(ctx, s, "garden", "tulip", "red yellow")

	r := informer.NewReplica(s, informer.Options{})
	maps, err := informer.For[*corev1.ConfigMap](r)
	if err != nil {
		log.Fatal(err)
	}
	byColor := maps.AddIndex(func(cm *corev1.ConfigMap) []string { return strings.Fields(cm.Data["color"]) })
	defer run(ctx, r)()

	for color, cm := range byColor.Range(r.Snapshot(), "c", "") {
		fmt.Println(color, cm.Name)
	}
	// Output:
	// red rose
	// red tulip
	// yellow tulip
}

func ExampleIndex_Prefix() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	mustCreate(ctx, s, "garden", "violet", "blue/dark")
	mustCreate(ctx, s, "garden", "rose", "red/dark")
	mustCreate(ctx, s, "garden", "tulip", "red/light")

	r := informer.NewReplica(s, informer.Options{})
	maps, err := informer.For[*corev1.ConfigMap](r)
	if err != nil {
		log.Fatal(err)
	}
	byColor := maps.AddIndex(func(cm *corev1.ConfigMap) []string { return []string{cm.Data["color"]} })
	defer run(ctx, r)()

	for color, cm := range byColor.Prefix(r.Snapshot(), "red/") {
		fmt.Println(color, cm.Name)
	}
	// Output:
	// red/dark rose
	// red/light tulip
}

// A replica needs memory only for what it keeps. Call Restrict before any other
// code calls For with the kind.
func ExampleRestrict() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	mustCreate(ctx, s, "garden", "rose", "red")
	mustCreate(ctx, s, "sea", "coral", "red")

	r := informer.NewReplica(s, informer.Options{})
	maps, err := informer.Restrict(r, informer.Scope[*corev1.ConfigMap]{
		Keep:         func(key store.Key) bool { return key.Namespace == "garden" },
		MetadataOnly: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer run(ctx, r)()

	for cm := range maps.List(r.Snapshot(), informer.ListOptions{}) {
		fmt.Println(cm.Name, len(cm.Data))
	}
	// The replica has only a part of the object. Mutate reads and changes all of it.
	rose, _, err := store.Mutate(ctx, s, store.Key{Namespace: "garden", Name: "rose"}, func(cm *corev1.ConfigMap) error {
		cm.Labels = map[string]string{"thorns": "yes"}
		return nil
	})
	fmt.Println(rose.Data["color"], err)
	// Output:
	// rose 0
	// red <nil>
}

// Tests find code that changes shared objects.
func ExampleMutation() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	mustCreate(ctx, s, "garden", "rose", "red")

	r := informer.NewReplica(s, informer.Options{OnMutation: func(m informer.Mutation) {
		fmt.Println(m.Kind, m.Key, "was changed") // in a test: t.Error(m)
	}})
	maps, err := informer.For[*corev1.ConfigMap](r)
	if err != nil {
		log.Fatal(err)
	}
	maps.AddIndex(func(cm *corev1.ConfigMap) []string {
		cm.Data["color"] = "blue" // a mistake
		return nil
	})
	run(ctx, r)()
	// Output: ConfigMap garden/rose was changed
}

// A handler first receives all objects, and then each change.
func ExampleInformer_AddHandler() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	mustCreate(ctx, s, "garden", "rose", "red")

	r := informer.NewReplica(s, informer.Options{})
	maps, err := informer.For[*corev1.ConfigMap](r)
	if err != nil {
		log.Fatal(err)
	}
	received := make(chan string)
	maps.AddHandler(func(ctx context.Context, e informer.Event[*corev1.ConfigMap]) {
		select {
		case received <- fmt.Sprintln(e.Type, e.Object.Name, e.Initial):
		case <-ctx.Done():
		}
	})
	defer run(ctx, r)()
	fmt.Print(<-received)

	mustCreate(ctx, s, "garden", "violet", "blue")
	fmt.Print(<-received)
	// Output:
	// ADDED rose true
	// ADDED violet false
}

// A handler with a filter sees the objects for which the filter holds. An object
// that starts to match arrives as Added; one that stops matching, as Deleted.
func ExampleInformer_AddHandler_filter() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	r := informer.NewReplica(s, informer.Options{})
	maps, err := informer.For[*corev1.ConfigMap](r)
	if err != nil {
		log.Fatal(err)
	}
	garden, err := informer.KeyGlob[*corev1.ConfigMap]("garden/*")
	if err != nil {
		log.Fatal(err)
	}
	red := informer.Where(func(cm *corev1.ConfigMap) bool { return cm.Data["color"] == "red" })
	received := make(chan string)
	maps.AddHandler(func(ctx context.Context, e informer.Event[*corev1.ConfigMap]) {
		select {
		case received <- fmt.Sprintln(e.Type, e.Object.Name, e.Object.Data["color"]):
		case <-ctx.Done():
		}
	}, informer.And(garden, red))
	defer run(ctx, r)()

	mustCreate(ctx, s, "sea", "coral", "red")
	mustCreate(ctx, s, "garden", "rose", "white")
	for _, color := range []string{"red", "yellow"} {
		_, _, err := store.Mutate(ctx, s, store.Key{Namespace: "garden", Name: "rose"}, func(cm *corev1.ConfigMap) error {
			cm.Data["color"] = color
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(<-received)
	}
	// Output:
	// ADDED rose red
	// DELETED rose red
}

// Transition holds for the changes for which a function of the old and the new
// object returns true. The handler receives those changes and no others.
func ExampleTransition() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	r := informer.NewReplica(s, informer.Options{})
	maps, err := informer.For[*corev1.ConfigMap](r)
	if err != nil {
		log.Fatal(err)
	}
	withers := informer.Transition(func(old, new *corev1.ConfigMap) bool {
		return old != nil && new != nil && old.Data["color"] != "brown" && new.Data["color"] == "brown"
	})
	received := make(chan string)
	maps.AddHandler(func(ctx context.Context, e informer.Event[*corev1.ConfigMap]) {
		select {
		case received <- fmt.Sprintln(e.Type, e.Object.Name, "from", e.Old.Data["color"]):
		case <-ctx.Done():
		}
	}, withers)
	defer run(ctx, r)()

	mustCreate(ctx, s, "garden", "rose", "red")
	for _, color := range []string{"white", "brown"} {
		_, _, err := store.Mutate(ctx, s, store.Key{Namespace: "garden", Name: "rose"}, func(cm *corev1.ConfigMap) error {
			cm.Data["color"] = color
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	fmt.Print(<-received)
	// Output: MODIFIED rose from white
}

// A batch handler receives the net changes of an interval.
func ExampleInformer_AddBatchHandler() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	mustCreate(ctx, s, "garden", "rose", "red")

	r := informer.NewReplica(s, informer.Options{})
	maps, err := informer.For[*corev1.ConfigMap](r)
	if err != nil {
		log.Fatal(err)
	}
	received := make(chan informer.Batch[*corev1.ConfigMap])
	window := informer.Debounce{Quiet: 200 * time.Millisecond, Max: 2 * time.Second}
	maps.AddBatchHandler(window, func(ctx context.Context, b informer.Batch[*corev1.ConfigMap]) {
		select {
		case received <- b:
		case <-ctx.Done():
		}
	})
	defer run(ctx, r)()
	first := <-received
	fmt.Println(first.Initial, len(first.Events))

	// Two objects in one transaction are always in one batch.
	tx := s.Txn()
	for _, name := range []string{"violet", "tulip"} {
		tx.Create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "garden", Name: name}})
	}
	revision, err := tx.Commit(ctx)
	if err != nil {
		log.Fatal(err)
	}
	next := <-received
	fmt.Println(next.Revision == revision)
	for _, e := range next.Events {
		fmt.Println(e.Type, e.Object.Name)
	}
	// Output:
	// true 1
	// true
	// ADDED violet
	// ADDED tulip
}

// Each write returns a revision. To read your own writes, wait for it.
func ExampleReplica_WaitForRevision() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	r := informer.NewReplica(s, informer.Options{})
	maps, err := informer.For[*corev1.ConfigMap](r)
	if err != nil {
		log.Fatal(err)
	}
	defer run(ctx, r)()

	revision := mustCreate(ctx, s, "garden", "rose", "red")
	if err := r.WaitForRevision(ctx, revision); err != nil {
		log.Fatal(err)
	}
	fmt.Println(maps.Len(r.Snapshot()))
	// Output: 1
}

// A snapshot shows all kinds at one revision, and never changes.
func ExampleReplica_Snapshot() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	r := informer.NewReplica(s, informer.Options{})
	maps, err := informer.For[*corev1.ConfigMap](r)
	if err != nil {
		log.Fatal(err)
	}
	defer run(ctx, r)()

	before := r.Snapshot()
	revision := mustCreate(ctx, s, "garden", "rose", "red")
	if err := r.WaitForRevision(ctx, revision); err != nil {
		log.Fatal(err)
	}
	after := r.Snapshot()
	fmt.Println(maps.Len(before), maps.Len(after), after.Revision() >= revision)
	// Output: 0 1 true
}

// A readiness probe passes while the replica is up to date, and otherwise names
// the cause.
func ExampleReplica_Healthy() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	r := informer.NewReplica(s, informer.Options{})
	if _, err := informer.For[*corev1.ConfigMap](r); err != nil {
		log.Fatal(err)
	}
	ready := func(w http.ResponseWriter, _ *http.Request) {
		if err := r.Healthy(15 * time.Second); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}
	probe := func() {
		w := httptest.NewRecorder()
		ready(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	probe()
	defer run(ctx, r)()
	probe()
	// Output:
	// 503 the replica does not run
	// 200
}

// Replicas that share a registry need a label to tell them apart.
func ExampleReplica_Collector() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	mustCreate(ctx, s, "garden", "rose", "red")
	r := informer.NewReplica(s, informer.Options{})
	if _, err := informer.For[*corev1.ConfigMap](r); err != nil {
		log.Fatal(err)
	}
	defer run(ctx, r)()

	registry := prometheus.NewRegistry()
	labelled := prometheus.WrapRegistererWith(prometheus.Labels{"replica": "garden"}, registry)
	if err := labelled.Register(r.Collector()); err != nil {
		log.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "homeostat_replica_objects" {
			fmt.Println(f.GetHelp(), f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	// Output: Objects in the newest snapshot. 1
}

func ExampleReplica_Status() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	mustCreate(ctx, s, "garden", "rose", "red")
	r := informer.NewReplica(s, informer.Options{})
	if _, err := informer.For[*corev1.ConfigMap](r); err != nil {
		log.Fatal(err)
	}
	defer run(ctx, r)()

	st := r.Status()
	fmt.Println(st.Synced, st.Err, st.Relists)
	for _, k := range st.Kinds {
		fmt.Println(k.Kind, k.Prefix, k.Objects)
	}
	// Output:
	// true <nil> map[initial:1]
	// ConfigMap /registry/core/configmaps/ 1
}

// With a checkpoint, a process learns what changed while no process ran.
func ExampleOptions_checkpoint() {
	ctx := context.Background()
	s, closeStore := exampleStore(ctx)
	defer closeStore()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	rose := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "garden", Name: "rose"}}
	mustCreate(ctx, s, "garden", "rose", "red")

	process := func(handle informer.Handler[*corev1.ConfigMap]) (stop func()) {
		r := informer.NewReplica(s, informer.Options{
			Checkpoint: informer.Checkpoint{Path: filepath.Join(dir, "checkpoint")},
		})
		maps, err := informer.For[*corev1.ConfigMap](r)
		if err != nil {
			log.Fatal(err)
		}
		maps.AddHandler(handle)
		return run(ctx, r)
	}
	process(func(context.Context, informer.Event[*corev1.ConfigMap]) {})()

	if _, err := s.Delete(ctx, rose, store.DeleteOptions{}); err != nil {
		log.Fatal(err)
	}

	received := make(chan string, 1)
	stop := process(func(_ context.Context, e informer.Event[*corev1.ConfigMap]) {
		if !e.Initial {
			received <- fmt.Sprintln(e.Type, e.Object.Name, e.Object.Data["color"])
		}
	})
	fmt.Print(<-received)
	stop()
	// Output: DELETED rose red
}
