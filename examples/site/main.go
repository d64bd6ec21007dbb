// Command site is a whole controller for its own type: a Site becomes a Deployment, and
// reports how many of its replicas are ready.
package main

import (
	"context"
	"log"

	"github.com/go-logr/logr/funcr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/connect"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/garbagecollector"
	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/store"
)

type SiteSpec struct {
	Image    string `json:"image"`
	Replicas int32  `json:"replicas"`
}

type SiteStatus struct {
	Ready int32 `json:"ready"`
}

type Site = store.Resource[SiteSpec, SiteStatus]

// reconcile reads one snapshot; what it writes is one etcd transaction.
func reconcile(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
	labels := map[string]string{"site": site.Name}
	deployments, err := controller.Apply(tx, site, &appsv1.Deployment{ // creates, updates, and deletes any other
		ObjectMeta: metav1.ObjectMeta{Name: site.Name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &site.Spec.Replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: site.Spec.Image}}},
			},
		},
	})
	for _, d := range deployments {
		site.Status.Ready = d.Status.ReadyReplicas
	}
	tx.UpdateStatus(site) // costs nothing when nothing changed
	return controller.Result{}, err
}

func main() {
	ctx := controller.SignalContext()
	client, err := connect.Options{}.Open(ctx, etcd.PrefixRange(store.DefaultPrefix)) // of 127.0.0.1:2379
	check(err)
	s, err := store.New(client, store.Options{Kinds: []store.AnyKind{
		store.Kind[*Site]{GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"}},
		store.Kind[*appsv1.Deployment]{GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("Deployment")},
	}})
	check(err)
	logger := funcr.New(func(_, line string) { log.Println(line) }, funcr.Options{})
	m, err := controller.NewManager(s, controller.ManagerOptions{Log: logger})
	check(err)
	_, err = controller.New(m, "site", reconcile, controller.Options{}, controller.Owns[*appsv1.Deployment]())
	check(err)
	check(garbagecollector.Add(m, &Site{}, &appsv1.Deployment{}))
	check(m.Add("sample", func(ctx context.Context) error {
		blog := &Site{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "blog"}, Spec: SiteSpec{Image: "nginx", Replicas: 2}}
		if _, err := s.Create(ctx, blog); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		return nil
	}, controller.RunnableOptions{}))
	check(m.Run(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
