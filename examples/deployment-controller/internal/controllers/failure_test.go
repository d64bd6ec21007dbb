package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/workloads"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/controllertest"
	"github.com/homeostat/homeostat/pkg/store"
)

// eventLog keeps Events as lines: type, reason, kind and name.
type eventLog []string

func (l *eventLog) Eventf(regarding, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	name := regarding.(store.Object).GetName()
	*l = append(*l, fmt.Sprintf("%s %s %s: %s", eventType, reason, name, fmt.Sprintf(note, args...)))
}

// template returns a template with one container.
func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: image}}},
	}
}

func newDeployment(image string) *appsv1.Deployment {
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: template(image),
		},
	}
	workloads.DefaultDeployment(d)
	return d
}

// controllersOf returns the two controllers and the Events that they record.
func controllersOf(t *testing.T, objects ...store.Object) (env *controllertest.Env, d *deployments, rs *replicaSets, log *eventLog) {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	env, log = controllertest.New(t, controllertest.Options{Store: store.Options{Scheme: scheme, Kinds: Kinds()}}, objects...), &eventLog{}
	owners, err := NewOwners(env.Manager())
	if err != nil {
		t.Fatal(err)
	}
	if d, err = newDeployments(env.Manager(), owners, log); err != nil {
		t.Fatal(err)
	}
	if rs, err = newReplicaSets(env.Manager(), owners, log); err != nil {
		t.Fatal(err)
	}
	return env, d, rs, log
}

func reconciler[T store.Object](t *testing.T, env *controllertest.Env, name string, r controller.TxFunc[T]) *controller.Controller[controller.Request] {
	t.Helper()
	c, err := controller.New(env.Manager(), name, r, controller.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDeploymentTellsWhyItsReplicaSetCannotBeCreated(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(*appsv1.Deployment)
		reason string
		cause  string
	}{
		"an invalid template":   {func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "" }, "ReplicaSetCreateError", "image"},
		"too large":             {func(d *appsv1.Deployment) { d.Spec.Template.Annotations = large() }, "ReplicaSetCreateError", "annotations"},
		"a malformed bound":     {func(d *appsv1.Deployment) { d.Spec.Strategy.RollingUpdate.MaxSurge = new(intstr.FromString("many")) }, "InvalidDeployment", "maxSurge"},
		"an unmatched template": {func(d *appsv1.Deployment) { d.Spec.Template.Labels = nil }, "InvalidDeployment", "labels"},
	} {
		t.Run(name, func(t *testing.T) {
			deployment := newDeployment("web:1")
			c.spoil(deployment)
			env, d, _, log := controllersOf(t, deployment)
			reconcile := reconciler(t, env, "deployment", d.reconcile)
			for range 2 { // the retry records another Event and writes nothing
				if out := env.Reconcile(reconcile, store.KeyOf(deployment)); out.Err == nil || !strings.Contains(out.Err.Error(), c.cause) {
					t.Fatalf("%+v", out)
				}
			}
			stored, _ := controllertest.Get[*appsv1.Deployment](env, store.KeyOf(deployment))
			i := slices.IndexFunc(stored.Status.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Type == appsv1.DeploymentProgressing })
			if i < 0 || stored.Status.Conditions[i].Reason != c.reason || !strings.Contains(stored.Status.Conditions[i].Message, c.cause) {
				t.Errorf("conditions %+v", stored.Status.Conditions)
			}
			if len(*log) != 2 || !strings.HasPrefix((*log)[0], "Warning "+c.reason+" web: ") {
				t.Errorf("events %q", *log)
			}
		})
	}
}

func TestReplicaSetTellsWhyItsPodsCannotBeCreated(t *testing.T) {
	for name, c := range map[string]struct {
		spoil         func(*appsv1.ReplicaSet)
		reason, cause string
	}{
		"an invalid template":   {func(rs *appsv1.ReplicaSet) { rs.Spec.Template.Spec.Containers[0].Image = "" }, "FailedCreate", "image"},
		"an unmatched template": {func(rs *appsv1.ReplicaSet) { rs.Spec.Template.Labels = nil }, "InvalidReplicaSet", "labels"},
		"an empty selector":     {func(rs *appsv1.ReplicaSet) { rs.Spec.Selector = nil }, "InvalidReplicaSet", "selector"},
	} {
		t.Run(name, func(t *testing.T) {
			rs := &appsv1.ReplicaSet{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
				Spec: appsv1.ReplicaSetSpec{
					Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Template: template("web:1"),
				},
			}
			c.spoil(rs)
			env, _, sets, log := controllersOf(t, rs)
			out := env.Reconcile(reconciler(t, env, "replicaset", sets.reconcile), store.KeyOf(rs))
			if out.Err == nil || !strings.Contains(out.Err.Error(), c.cause) {
				t.Fatalf("%+v", out)
			}
			stored, _ := controllertest.Get[*appsv1.ReplicaSet](env, store.KeyOf(rs))
			conditions := stored.Status.Conditions
			if len(conditions) != 1 || conditions[0].Reason != c.reason || !strings.Contains(conditions[0].Message, c.cause) {
				t.Errorf("conditions %+v", conditions)
			}
			if len(*log) != 1 || !strings.HasPrefix((*log)[0], "Warning "+c.reason+" web: ") {
				t.Errorf("events %q", *log)
			}
		})
	}
}

// large returns annotations that no API server accepts.
func large() map[string]string { return map[string]string{"note": strings.Repeat("x", 300<<10)} }

// The store checks the metadata of all kinds, and the kinds' own rules do not repeat it.
func TestBadMetadataIsReportedOnce(t *testing.T) {
	env, _, _, _ := controllersOf(t)
	meta := metav1.ObjectMeta{Namespace: "default", Name: "A_", Labels: map[string]string{"a b": "c"}, Annotations: map[string]string{"a b": "c"}}
	d := newDeployment("web:1")
	d.ObjectMeta = meta
	rs := &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: d.Spec.Selector, Template: d.Spec.Template}}
	for _, obj := range []store.Object{d, rs, &corev1.Pod{ObjectMeta: meta, Spec: d.Spec.Template.Spec}} {
		_, err := env.Store().Create(t.Context(), obj)
		var fields []string
		if status, ok := errors.AsType[*apierrors.StatusError](err); ok && status.ErrStatus.Details != nil {
			for _, cause := range status.ErrStatus.Details.Causes {
				fields = append(fields, cause.Field)
			}
		}
		slices.Sort(fields)
		if want := []string{"metadata.annotations", "metadata.labels", "metadata.name"}; !slices.Equal(fields, want) {
			t.Errorf("%T: %q", obj, fields)
		}
	}
}
