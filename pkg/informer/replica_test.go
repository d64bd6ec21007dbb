package informer_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// newStore returns a store below a prefix that no other spec uses.
func newStore() *store.Store {
	GinkgoHelper()
	s, err := store.New(etcd.Client(), store.Options{
		Scheme: scheme.Scheme,
		Prefix: fmt.Sprintf("/%s-%d/", "spec", time.Now().UnixNano()),
	})
	Expect(err).NotTo(HaveOccurred())
	return s
}

// start runs a replica until the spec ends.
func start(r *informer.Replica) context.CancelFunc {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer GinkgoRecover()
		defer close(done)
		Expect(r.Run(ctx)).To(Succeed())
	}()
	stop := func() { cancel(); <-done }
	DeferCleanup(stop)
	return stop
}

func configMap(name string, data ...string) *corev1.ConfigMap {
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	for i := 0; i < len(data); i += 2 {
		if cm.Data == nil {
			cm.Data = map[string]string{}
		}
		cm.Data[data[i]] = data[i+1]
	}
	return cm
}

// recorder notes down what a handler is told.
type recorder struct {
	mu     sync.Mutex
	events []string
}

func (r *recorder) handle(_ context.Context, e informer.Event[*corev1.ConfigMap]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, fmt.Sprintf("%s %s %s", e.Type, e.Object.Name, e.Object.Data["v"]))
}

func (r *recorder) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

var _ = Describe("A replica", func() {
	It("lists, watches, and tells handlers each change once", func(ctx SpecContext) {
		s := newStore()
		_, err := s.Create(ctx, configMap("a", "v", "1"))
		Expect(err).NotTo(HaveOccurred())

		r := informer.NewReplica(s, informer.Options{})
		maps, err := informer.For[*corev1.ConfigMap](r)
		Expect(err).NotTo(HaveOccurred())
		var rec recorder
		maps.AddHandler(rec.handle)
		start(r)
		Expect(r.WaitForSync(ctx)).To(Succeed())
		Eventually(rec.told).Should(Equal([]string{"ADDED a 1"}))

		b := configMap("b", "v", "1")
		_, err = s.Create(ctx, b)
		Expect(err).NotTo(HaveOccurred())
		b.Data["v"] = "2"
		_, err = s.Update(ctx, b)
		Expect(err).NotTo(HaveOccurred())
		rev, err := s.Delete(ctx, b)
		Expect(err).NotTo(HaveOccurred())
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Eventually(rec.told).Should(Equal([]string{"ADDED a 1", "ADDED b 1", "MODIFIED b 2", "DELETED b 2"}))
		_, ok := maps.Get(r.Snapshot(), store.KeyOf(b))
		Expect(ok).To(BeFalse())
	}, SpecTimeout(20*time.Second))

	It("shows several kinds at one revision, and a kind that is added later", func(ctx SpecContext) {
		s := newStore()
		r := informer.NewReplica(s, informer.Options{})
		maps, err := informer.For[*corev1.ConfigMap](r)
		Expect(err).NotTo(HaveOccurred())
		start(r)
		Expect(r.WaitForSync(ctx)).To(Succeed())

		_, err = s.Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "d"}})
		Expect(err).NotTo(HaveOccurred())
		deployments, err := informer.For[*appsv1.Deployment](r)
		Expect(err).NotTo(HaveOccurred())
		Expect(r.WaitForSync(ctx)).To(Succeed())
		Expect(deployments.Len(r.Snapshot())).To(Equal(1))

		old := r.Snapshot()
		rev, err := s.Create(ctx, configMap("a"))
		Expect(err).NotTo(HaveOccurred())
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Expect(maps.Len(r.Snapshot())).To(Equal(1))
		Expect(maps.Len(old)).To(Equal(0))
	}, SpecTimeout(20*time.Second))

	It("reaches revisions that bring no event of its own", func(ctx SpecContext) {
		s := newStore()
		r := informer.NewReplica(s, informer.Options{})
		_, err := informer.For[*corev1.ConfigMap](r)
		Expect(err).NotTo(HaveOccurred())
		start(r)
		Expect(r.WaitForSync(ctx)).To(Succeed())
		resp, err := etcd.Client().Put(ctx, "/elsewhere", "x")
		Expect(err).NotTo(HaveOccurred())
		Expect(r.WaitForRevision(ctx, resp.Header.Revision)).To(Succeed())
	}, SpecTimeout(20*time.Second))
})
