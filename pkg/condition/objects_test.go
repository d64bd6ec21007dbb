package condition_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/homeostat/homeostat/pkg/condition"
	"github.com/homeostat/homeostat/pkg/store"
)

func pod(phase corev1.PodPhase) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Generation: 7, CreationTimestamp: metav1.Unix(0, 0)},
		Status:     corev1.PodStatus{Phase: phase},
	}
}

func TestForObjects(t *testing.T) {
	tests := []struct {
		expr     string
		old, new *corev1.Pod
		want     bool
	}{
		{`old.status.phase == "Pending" && new.status.phase == "Failed"`, pod("Pending"), pod("Failed"), true},
		{`old.status.phase == "Pending" && new.status.phase == "Failed"`, nil, pod("Failed"), false},
		{`op == "create" && new.metadata.generation == 7`, nil, pod("Failed"), true},
		{`op == "delete" && old.status.phase == "Failed"`, pod("Failed"), nil, true},
		{`timestamp(new.metadata.creationTimestamp) == timestamp("1970-01-01T00:00:00Z")`, nil, pod(""), true},
		{`has(new.status.phase)`, nil, pod(""), false},
	}
	for _, test := range tests {
		matches, err := condition.ForObjects[*corev1.Pod](test.expr)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := matches(test.old, test.new); err != nil || got != test.want {
			t.Errorf("%s: %v, %v; want %v", test.expr, got, err, test.want)
		}
	}
}

func TestForObject(t *testing.T) {
	for expr, want := range map[string]bool{
		`object.status.phase == "Failed"`:                               true,
		`object.status.phase == "Pending"`:                              false,
		`object.metadata.name.startsWith("we") && !has(object.spec.os)`: true,
		`object.status.reason == "Evicted"`:                             false,
	} {
		matches, err := condition.ForObject[*corev1.Pod](expr)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := matches(pod("Failed")); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", expr, got, err, want)
		}
		if got, err := matches(nil); err != nil || got {
			t.Errorf("%s on no object: %v, %v", expr, got, err)
		}
	}
	for _, expr := range []string{`new.status.phase == "Failed"`, `op == "create"`, `object.metadata`, `object ==`} {
		if _, err := condition.ForObject[*corev1.Pod](expr); err == nil {
			t.Errorf("%s: no error", expr)
		}
	}
	divides, err := condition.ForObject[*corev1.Pod](`object.metadata.generation / 0 == 1`)
	if err != nil {
		t.Fatal(err)
	}
	if met, err := divides(pod("Failed")); met || err == nil {
		t.Errorf("division by zero: %v, %v", met, err)
	}
}

func TestForObjectsRefusesWhatOnlyKeysHave(t *testing.T) {
	for _, expr := range []string{`key == "/a"`, `revision > 3`, `new.metadata`} {
		if _, err := condition.ForObjects[*appsv1.Deployment](expr); err == nil {
			t.Errorf("%s: no error", expr)
		}
	}
}

func TestForObjectsOfOtherTypes(t *testing.T) {
	type site = store.Resource[struct {
		Image string `json:"image"`
	}, struct{}]
	sites, err := condition.ForObjects[*site](`new.spec.image == "web:2"`)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{}
	s.Spec.Image = "web:2"
	if met, err := sites(nil, s); !met || err != nil {
		t.Errorf("a type of one's own: %v, %v", met, err)
	}

	anything, err := condition.ForObjects[*unstructured.Unstructured](`new.spec.image == "web:2" && old == null`)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"image": "web:2"}}}
	if met, err := anything(nil, u); !met || err != nil {
		t.Errorf("an unstructured object: %v, %v", met, err)
	}
}
