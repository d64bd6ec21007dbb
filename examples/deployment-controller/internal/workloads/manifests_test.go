package workloads_test

import (
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/workloads"
	"github.com/homeostat/homeostat/pkg/manifest"
	"github.com/homeostat/homeostat/pkg/store"
)

func newQuantity(s string) *resource.Quantity { return new(resource.MustParse(s)) }

func equalPods(a, b *corev1.Pod) bool { return equality.Semantic.DeepEqual(a, b) }

// TestManifests reads the manifests that the program comes with.
func TestManifests(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := appsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://127.0.0.1:1"}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // It was never connected.
	s, err := store.New(client, store.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	docs, errs := manifest.Load(s, []string{"../../manifests"}, nil)
	for _, err := range errs {
		t.Error(err)
	}
	found := map[string]*appsv1.Deployment{}
	for _, doc := range docs {
		d, ok := doc.Object.(*appsv1.Deployment)
		if !ok {
			t.Fatalf("%s: document %d is a %T", doc.Source, doc.Index, doc.Object)
		}
		workloads.DefaultDeployment(d)
		if errs := workloads.ValidateDeployment(d); len(errs) > 0 {
			t.Errorf("%s: document %d: %v", doc.Source, doc.Index, errs.ToAggregate())
		}
		if old := found[d.Name]; old != nil {
			if errs := workloads.ValidateDeploymentUpdate(d, old); len(errs) > 0 {
				t.Errorf("%s: document %d: %v", doc.Source, doc.Index, errs.ToAggregate())
			}
		}
		found[d.Name] = d
	}
	if len(docs) != 5 || len(found) != 4 {
		t.Errorf("got %d documents with %d names", len(docs), len(found))
	}
}
