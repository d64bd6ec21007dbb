package main

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/controllers"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

func owned(kind, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "apps/v1", Kind: kind, Name: name, UID: types.UID(name), Controller: new(true)},
	}}
}

func TestOwnersOfReplicaSets(t *testing.T) {
	dirty := newDirtyKeys()
	addOwner(dirty, &appsv1.ReplicaSet{ObjectMeta: owned("Deployment", "web")})
	addOwner(dirty, &appsv1.ReplicaSet{ObjectMeta: owned("Deployment", "web")})
	addOwner(dirty, &appsv1.ReplicaSet{})
	<-dirty.wake
	if keys := dirty.take(); len(keys) != 1 {
		t.Errorf("%v", keys)
	}
	if keys := dirty.take(); len(keys) != 0 {
		t.Errorf("taken twice: %v", keys)
	}
}

// A draw looks only at what changed, and shows the same as a look at everything.
func TestBoardDrawsWhatChanged(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	scheme, err := controllers.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.New(cluster.Client(), store.Options{Scheme: scheme, Kinds: controllers.Kinds()})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		labels := map[string]string{"app": name}
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "c"}}},
			},
		}}
		if _, err := s.Create(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	m, err := controller.NewManager(s, controller.ManagerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	owners, err := controllers.NewOwners(m)
	if err != nil {
		t.Fatal(err)
	}
	v, err := newView(m.Replica(), owners)
	if err != nil {
		t.Fatal(err)
	}
	etcdtest.Background(t, m.Run)
	if err := m.Replica().WaitForSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	b := &board{&program{screen: newScreen(&out, &out), view: v}, newDirtyKeys()}
	b.dirty.add(store.Key{Namespace: "default", Name: "b"}, store.Key{Namespace: "default", Name: "gone"})
	b.draw()
	if text := out.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "default/b  ") {
		t.Errorf("drew %q", text)
	}
	b.draw()
	if strings.Count(out.String(), "\n") != 1 {
		t.Errorf("drew what had not changed: %q", out.String())
	}
}
