package controller_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// etcd serves the whole suite; each spec works below a prefix of its own.
var etcd *etcdtest.Cluster

var _ = BeforeSuite(func() {
	etcdtest.VerifyNoLeaks(GinkgoTB())
	etcd = etcdtest.Start(GinkgoTB(), etcdtest.Options{})
	SetDefaultEventuallyTimeout(time.Minute)
})

var _ = BeforeEach(func() {
	etcdtest.VerifyNoLeaks(GinkgoTB())
})

func TestController(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "controller")
}

// Site is a user-defined type.
type Site = store.Resource[SiteSpec, SiteStatus]

type SiteSpec struct {
	Replicas int32 `json:"replicas"`
}

type SiteStatus struct {
	Ready              int32 `json:"ready"`
	ObservedGeneration int64 `json:"observedGeneration"`
}

var siteKind = store.Kind[*Site]{
	GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"},
}

// newStore returns a store below a prefix that no other spec uses.
func newStore(client *clientv3.Client, change ...func(*store.Options)) *store.Store {
	GinkgoHelper()
	return newStoreAt(client, fmt.Sprintf("/spec-%d/", time.Now().UnixNano()), change...)
}

func newStoreAt(client *clientv3.Client, prefix string, change ...func(*store.Options)) *store.Store {
	GinkgoHelper()
	o := store.Options{
		Scheme: scheme.Scheme,
		Prefix: prefix,
		Kinds:  []store.AnyKind{siteKind},
	}
	for _, f := range change {
		f(&o)
	}
	s, err := store.New(client, o)
	Expect(err).NotTo(HaveOccurred())
	return s
}

func newManager(o controller.ManagerOptions) *controller.Manager {
	GinkgoHelper()
	return newManagerOn(newStore(etcd.Client()), o)
}

func newManagerOn(s *store.Store, o controller.ManagerOptions) *controller.Manager {
	GinkgoHelper()
	if o.OnMutation == nil {
		o.OnMutation = failOnMutation
	}
	m, err := controller.NewManager(s, o)
	Expect(err).NotTo(HaveOccurred())
	return m
}

// failOnMutation fails the spec: nobody may change what a replica shares.
func failOnMutation(m informer.Mutation) {
	defer GinkgoRecover()
	Fail(m.String())
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

func newConfigMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

// create creates objects, one after the other.
func create(ctx context.Context, s *store.Store, objects ...store.Object) {
	GinkgoHelper()
	for _, obj := range objects {
		Expect(s.Create(ctx, obj)).Error().NotTo(HaveOccurred())
	}
}

// count returns how many objects of a kind etcd holds.
func count[T store.Object](ctx context.Context, s *store.Store) int {
	GinkgoHelper()
	list, err := store.List[T](ctx, s, store.ListOptions{})
	Expect(err).NotTo(HaveOccurred())
	return len(list.Items)
}

func request(obj store.Object) controller.Request { return controller.Request{Key: store.KeyOf(obj)} }
