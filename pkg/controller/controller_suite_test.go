package controller_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// etcd serves the whole suite; each spec works below a prefix of its own.
var etcd *etcdtest.Cluster

var _ = BeforeSuite(func() {
	etcdtest.VerifyNoLeaks(GinkgoTB())
	etcd = etcdtest.Start(GinkgoTB())
})

func TestController(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "controller")
}

// Site is a type of the user's own.
type Site = store.Resource[SiteSpec, SiteStatus]

type SiteSpec struct {
	Replicas int32 `json:"replicas"`
}

type SiteStatus struct {
	Ready              int32 `json:"ready"`
	ObservedGeneration int64 `json:"observedGeneration"`
}

func newManager(o controller.ManagerOptions) *controller.Manager {
	GinkgoHelper()
	s, err := store.New(etcd.Client(), store.Options{
		Scheme: scheme.Scheme,
		Prefix: fmt.Sprintf("/spec-%d/", time.Now().UnixNano()),
		Kinds: []store.AnyKind{store.Kind[*Site]{
			GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"},
		}},
	})
	Expect(err).NotTo(HaveOccurred())
	m, err := controller.NewManager(s, o)
	Expect(err).NotTo(HaveOccurred())
	return m
}

// run runs a manager until the spec ends, or until stop is called.
func run(m *controller.Manager) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer GinkgoRecover()
		defer close(done)
		Expect(m.Run(ctx)).To(Succeed())
	}()
	stop = func() { cancel(); <-done }
	DeferCleanup(stop)
	return stop
}

func newSite(name string, replicas int32) *Site {
	return &Site{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: SiteSpec{Replicas: replicas}}
}

func newDeployment(name string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}
