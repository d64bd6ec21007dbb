package workloads_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/manifest"
	"github.com/homeostat/homeostat/examples/deployment-controller/internal/workloads"
)

func newQuantity(s string) *resource.Quantity { return new(resource.MustParse(s)) }

func equalPods(a, b *corev1.Pod) bool { return equality.Semantic.DeepEqual(a, b) }

// TestManifests reads the manifests that the program comes with.
func TestManifests(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := appsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	docs, errs := manifest.Load(scheme, []string{"../../manifests"}, nil)
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
