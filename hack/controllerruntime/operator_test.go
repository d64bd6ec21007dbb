// Package controllerruntime runs an operator that is written with controller-runtime, as its
// book teaches, on a server of package apiserver. Nothing in the operator knows homeostat.
package controllerruntime

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/homeostat/homeostat/pkg/apiserver"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

type SiteSpec struct {
	Image    string `json:"image"`
	Replicas int32  `json:"replicas"`
}

type SiteStatus struct {
	Ready      int32              `json:"ready"`
	Conditions []metav1.Condition `json:"conditions,omitempty" listType:"map" listMapKey:"type"`
}

type Site = store.Resource[SiteSpec, SiteStatus]

// SiteList is what controller-runtime wants for its cache.
type SiteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Site `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (l *SiteList) DeepCopyObject() runtime.Object {
	c := &SiteList{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy()}
	for i := range l.Items {
		c.Items = append(c.Items, *l.Items[i].DeepCopy())
	}
	return c
}

var group = schema.GroupVersion{Group: "example.com", Version: "v1"}

const finalizer = "example.com/site"

// reconciler makes a Deployment and a ConfigMap for each Site.
type reconciler struct {
	client.Client
	scheme   *runtime.Scheme
	released chan string // names of Sites whose finalizer has run
}

func (r *reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var site Site
	if err := r.Get(ctx, req.NamespacedName, &site); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !site.DeletionTimestamp.IsZero() {
		if controllerutil.RemoveFinalizer(&site, finalizer) {
			r.released <- site.Name
			return ctrl.Result{}, r.Update(ctx, &site)
		}
		return ctrl.Result{}, nil
	}
	if controllerutil.AddFinalizer(&site, finalizer) {
		if err := r.Update(ctx, &site); err != nil {
			return ctrl.Result{}, err
		}
	}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: site.Namespace, Name: site.Name}}
	_, err := controllerutil.CreateOrUpdate(ctx, r.Client, d, func() error {
		labels := map[string]string{"site": site.Name}
		d.Spec.Replicas = &site.Spec.Replicas
		d.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
		d.Spec.Template.Labels = labels
		d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "web", Image: site.Spec.Image}}
		return controllerutil.SetControllerReference(&site, d, r.scheme)
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	var siblings SiteList // of the same image, by an index of the cache
	if err := r.List(ctx, &siblings, client.MatchingFields{"spec.image": site.Spec.Image}); err != nil {
		return ctrl.Result{}, err
	}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: site.Namespace, Name: site.Name}}
	_, err = controllerutil.CreateOrUpdate(ctx, r.Client, cm, func() error {
		cm.Data = map[string]string{"siblings": fmt.Sprint(len(siblings.Items))}
		return controllerutil.SetControllerReference(&site, cm, r.scheme)
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	site.Status.Ready = d.Status.ReadyReplicas
	return ctrl.Result{}, r.Status().Update(ctx, &site)
}

func TestOperator(t *testing.T) {
	url := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	types := runtime.NewScheme()
	must(t, scheme.AddToScheme(types))
	types.AddKnownTypeWithName(group.WithKind("Site"), &Site{})
	types.AddKnownTypeWithName(group.WithKind("SiteList"), &SiteList{})
	metav1.AddToGroupVersion(types, group)
	ctrl.SetLogger(logr.Discard())

	lease := 2 * time.Second
	renew, retry := time.Second, 200*time.Millisecond
	m, err := ctrl.NewManager(&rest.Config{Host: url}, ctrl.Options{
		Scheme: types, Metrics: metricsserver.Options{BindAddress: "0"},
		LeaderElection: true, LeaderElectionID: "sites", LeaderElectionNamespace: "default",
		LeaseDuration: &lease, RenewDeadline: &renew, RetryPeriod: &retry,
	})
	must(t, err)
	must(t, m.GetFieldIndexer().IndexField(ctx, &Site{}, "spec.image", func(o client.Object) []string { return []string{o.(*Site).Spec.Image} }))
	r := &reconciler{m.GetClient(), types, make(chan string, 10)}
	must(t, ctrl.NewControllerManagedBy(m).For(&Site{}).Owns(&appsv1.Deployment{}).Owns(&corev1.ConfigMap{}).Complete(r))
	done := make(chan error)
	go func() { done <- m.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})

	c, err := client.New(&rest.Config{Host: url}, client.Options{Scheme: types})
	must(t, err)
	key := client.ObjectKey{Namespace: "default", Name: "blog"}
	must(t, c.Create(ctx, &Site{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "blog"}, Spec: SiteSpec{Image: "nginx", Replicas: 2}}))
	var d appsv1.Deployment
	await(t, "the Deployment", func() bool { return c.Get(ctx, key, &d) == nil && *d.Spec.Replicas == 2 })
	d.Status.ReadyReplicas = 2
	must(t, c.Status().Update(ctx, &d))
	var site Site
	await(t, "the status", func() bool { return c.Get(ctx, key, &site) == nil && site.Status.Ready == 2 })
	must(t, c.Patch(ctx, &site, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":5}}`))))
	await(t, "the update", func() bool { return c.Get(ctx, key, &d) == nil && *d.Spec.Replicas == 5 })

	var election coordinationv1.Lease
	must(t, c.Get(ctx, client.ObjectKey{Namespace: "default", Name: "sites"}, &election))
	must(t, c.Delete(ctx, &site))
	if name := <-r.released; name != "blog" {
		t.Errorf("the finalizer of %s has run", name)
	}
	await(t, "the end of the Site", func() bool { return apierrors.IsNotFound(c.Get(ctx, key, &site)) })
}

// serve serves the API until the test ends.
func serve(t *testing.T) (url string) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	s, err := store.New(cluster.Client(), store.Options{Kinds: []store.AnyKind{
		store.Kind[*Site]{GroupVersionKind: group.WithKind("Site")},
		store.Kind[*appsv1.Deployment]{GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("Deployment")},
		store.Kind[*corev1.ConfigMap]{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("ConfigMap")},
		store.Kind[*coordinationv1.Lease]{GroupVersionKind: coordinationv1.SchemeGroupVersion.WithKind("Lease")},
		store.Kind[*eventsv1.Event]{GroupVersionKind: eventsv1.SchemeGroupVersion.WithKind("Event")},
	}})
	must(t, err)
	m, err := controller.NewManager(s, controller.ManagerOptions{})
	must(t, err)
	api, err := apiserver.New(m, apiserver.Options{Address: "127.0.0.1:0"})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- api.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})
	url, err = api.URL(t.Context())
	must(t, err)
	return url
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits for a minute at most until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 600 {
		if holds() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s did not come", what)
}
