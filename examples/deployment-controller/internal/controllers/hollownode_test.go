package controllers

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/controllertest"
	"github.com/homeostat/homeostat/pkg/store"
)

// A Pod whose start lies in the future starts now.
func TestHollowNodeOfAFutureStart(t *testing.T) {
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a", Annotations: map[string]string{startedAnnotation: "9999-01-01T00:00:00Z"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "c"}}},
	}
	env := controllertest.New(t, controllertest.Options{Store: store.Options{Scheme: scheme, Kinds: Kinds()}}, pod)
	n := &hollowNode{startDelay: time.Hour}
	c, err := controller.New(env.Manager(), "hollow-node", n.reconcile, controller.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := env.Reconcile(c, store.KeyOf(pod))
	if out.Err != nil || out.Result.RequeueAfter != time.Hour/2 {
		t.Fatalf("%+v", out)
	}
	bound, err := store.Get[*corev1.Pod](t.Context(), env.Store(), store.KeyOf(pod))
	if err != nil || bound.Spec.NodeName != NodeName {
		t.Errorf("%v, %v", bound, err)
	}
}
