package apiserver_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/homeostat/homeostat/pkg/apiserver"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// etcd serves the whole suite; each spec works below a prefix of its own.
var (
	etcd  *etcdtest.Cluster
	specs atomic.Int64
)

var _ = BeforeSuite(func() { etcd = etcdtest.Start(GinkgoTB(), etcdtest.Options{}) })

var _ = BeforeEach(func() {
	SetDefaultEventuallyTimeout(time.Minute)
	EnforceDefaultTimeoutsWhenUsingContexts()
})

func TestAPIServer(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "apiserver")
}

type SiteSpec struct {
	Image    string     `json:"image"`
	Replicas int32      `json:"replicas"`
	Ports    []SitePort `json:"ports,omitempty" listType:"map" listMapKey:"name"`
	Hosts    []string   `json:"hosts,omitempty" listType:"set"`
}

type SitePort struct {
	Name string `json:"name"`
	Port int32  `json:"port"`
}

type SiteStatus struct {
	Ready int32 `json:"ready"`
}

type Site = store.Resource[SiteSpec, SiteStatus]

// OldSite is an older version of Site.
type OldSite struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Image             string `json:"image"`
}

var (
	siteKind    = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"}
	sites       = siteKind.GroupVersion().WithResource("sites")
	specTimeout = SpecTimeout(time.Minute)
)

func kinds() []store.AnyKind {
	return []store.AnyKind{
		store.Kind[*Site]{
			GroupVersionKind: siteKind,
			ValidateCreate: func(s *Site) (errs field.ErrorList) {
				if s.Spec.Replicas < 0 {
					errs = append(errs, field.Invalid(field.NewPath("spec", "replicas"), s.Spec.Replicas, "must not be negative"))
				}
				return errs
			},
		},
		store.Kind[*appsv1.Deployment]{GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("Deployment")},
		store.Kind[*corev1.ConfigMap]{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("ConfigMap")},
		store.Kind[*corev1.Node]{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Node"), ClusterScoped: true},
		store.Kind[*corev1.Binding]{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Binding")}, // client-go has no list of these
	}
}

// running is a server that runs, with clients of it.
type running struct {
	store   *store.Store
	url     string
	config  *rest.Config
	typed   *kubernetes.Clientset
	dynamic dynamic.Interface
}

// sitesIn returns the client of the sites of the default namespace.
func (r *running) sites() dynamic.ResourceInterface {
	return r.dynamic.Resource(sites).Namespace("default")
}

// serve runs a server until the end of the spec.
func serve(ctx context.Context, change ...func(*apiserver.Options)) *running {
	GinkgoHelper()
	s, err := store.New(etcd.Client(), store.Options{Kinds: kinds(), Prefix: fmt.Sprintf("/api-%d/", specs.Add(1))})
	Expect(err).NotTo(HaveOccurred())
	m, err := controller.NewManager(s, controller.ManagerOptions{})
	Expect(err).NotTo(HaveOccurred())
	o := apiserver.Options{Address: "127.0.0.1:0", Kinds: []apiserver.AnyKind{apiserver.Kind[*Site]{
		ShortNames: []string{"st"}, Scale: &apiserver.Scale{Replicas: "spec.replicas", StatusReplicas: "status.ready"},
	}}}
	for _, f := range change {
		f(&o)
	}
	api, err := apiserver.New(m, o)
	Expect(err).NotTo(HaveOccurred())
	runCtx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.Run(runCtx) }()
	DeferCleanup(func() {
		cancel()
		Expect(<-done).To(Succeed())
	})
	url, err := api.URL(ctx)
	Expect(err).NotTo(HaveOccurred())
	r := &running{store: s, url: url, config: &rest.Config{Host: url, QPS: -1}}
	r.typed, err = kubernetes.NewForConfig(r.config)
	Expect(err).NotTo(HaveOccurred())
	r.dynamic, err = dynamic.NewForConfig(r.config)
	Expect(err).NotTo(HaveOccurred())
	return r
}

// newSite returns a site as a client without Go types has it.
func newSite(name string, replicas int) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Site",
		"metadata": map[string]any{"name": name, "namespace": "default"},
		"spec":     map[string]any{"image": "nginx", "replicas": int64(replicas)},
	}}
}

func must[T any](v T, err error) T {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	return v
}
