package garbagecollector_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/garbagecollector"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// etcd serves the whole suite; each spec works below a prefix of its own.
var etcd *etcdtest.Cluster

var _ = BeforeSuite(func() {
	etcdtest.VerifyNoLeaks(GinkgoTB())
	etcd = etcdtest.Start(GinkgoTB(), etcdtest.Options{})
	SetDefaultEventuallyTimeout(30 * time.Second)
})

var _ = BeforeEach(func() {
	etcdtest.VerifyNoLeaks(GinkgoTB())
	complaints.lines = nil
})

func TestGarbageCollector(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "garbage collector")
}

func newStore() *store.Store {
	GinkgoHelper()
	s, err := store.New(etcd.Client(), store.Options{Scheme: scheme.Scheme, Prefix: fmt.Sprintf("/spec-%d/", time.Now().UnixNano())})
	Expect(err).NotTo(HaveOccurred())
	return s
}

// complaints are the lines of the collectors' log since the spec began.
var complaints struct {
	sync.Mutex
	lines []string
}

func complain(_, line string) {
	complaints.Lock()
	defer complaints.Unlock()
	complaints.lines = append(complaints.lines, line)
}

func complained() []string {
	complaints.Lock()
	defer complaints.Unlock()
	return slices.Clone(complaints.lines)
}

// collect runs a collector of these kinds until the spec ends, or until stop is
// called.
func collect(s *store.Store, kinds ...store.Object) (stop func()) {
	GinkgoHelper()
	return collectWith(newManager(s), kinds...)
}

func newManager(s *store.Store) *controller.Manager {
	GinkgoHelper()
	m, err := controller.NewManager(s, controller.ManagerOptions{
		Log: funcr.New(complain, funcr.Options{}),
		OnMutation: func(m informer.Mutation) {
			defer GinkgoRecover()
			Fail(m.String())
		},
	})
	Expect(err).NotTo(HaveOccurred())
	return m
}

func collectWith(m *controller.Manager, kinds ...store.Object) (stop func()) {
	GinkgoHelper()
	Expect(garbagecollector.Add(m, kinds...)).To(Succeed())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer GinkgoRecover()
		defer close(ended)
		Expect(m.Run(ctx)).To(Succeed())
	}()
	stop = func() { cancel(); <-ended }
	DeferCleanup(stop)
	return stop
}

func create[T store.Object](ctx context.Context, s *store.Store, obj T) T {
	GinkgoHelper()
	Expect(s.Create(ctx, obj)).Error().NotTo(HaveOccurred())
	return obj
}

func remove(ctx context.Context, s *store.Store, obj store.Object) {
	GinkgoHelper()
	Expect(s.Delete(ctx, obj, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
}

// owned sets the owners of an object.
func owned[T store.Object](s *store.Store, obj T, owners ...store.Object) T {
	GinkgoHelper()
	var refs []metav1.OwnerReference
	for i, owner := range owners {
		ref, err := s.OwnerReference(owner)
		Expect(err).NotTo(HaveOccurred())
		if i > 0 {
			ref.Controller = nil
		}
		refs = append(refs, ref)
	}
	obj.SetOwnerReferences(refs)
	return obj
}

// gone returns a function that reports whether an object is no longer in etcd.
func gone(ctx context.Context, s *store.Store, obj store.Object) func() bool {
	like := obj.DeepCopyObject().(store.Object)
	return func() bool {
		_, err := s.GetObject(ctx, like)
		return apierrors.IsNotFound(err)
	}
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", Name: name}
}

func deployment(name string) *appsv1.Deployment { return &appsv1.Deployment{ObjectMeta: meta(name)} }
func replicaSet(name string) *appsv1.ReplicaSet { return &appsv1.ReplicaSet{ObjectMeta: meta(name)} }
func pod(name string) *corev1.Pod               { return &corev1.Pod{ObjectMeta: meta(name)} }
func configMap(name string) *corev1.ConfigMap   { return &corev1.ConfigMap{ObjectMeta: meta(name)} }
