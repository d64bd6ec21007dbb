package garbagecollector_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

func keepMetadata[T store.Object](m *controller.Manager) {
	GinkgoHelper()
	_, err := informer.Restrict(m.Replica(), informer.Scope[T]{MetadataOnly: true})
	Expect(err).NotTo(HaveOccurred())
}

var _ = Describe("The garbage collector on a partial replica", func() {
	It("needs only metadata, and writes objects back whole", func(ctx SpecContext) {
		s := newStore()
		goes, stays := create(ctx, s, deployment("goes")), create(ctx, s, deployment("stays"))
		only := create(ctx, s, owned(s, replicaSet("only"), goes))
		shared := owned(s, replicaSet("shared"), goes, stays)
		shared.Spec.MinReadySeconds = 7
		create(ctx, s, shared)
		waits := deployment("waits")
		waits.Finalizers = []string{"example.com/hold"}
		waits.Spec.MinReadySeconds = 8
		create(ctx, s, waits)
		remove(ctx, s, goes.DeepCopy())
		_, err := s.Delete(ctx, waits.DeepCopy(), store.DeleteOptions{Propagation: metav1.DeletePropagationForeground})
		Expect(err).NotTo(HaveOccurred())

		m := newManager(s)
		keepMetadata[*appsv1.Deployment](m)
		keepMetadata[*appsv1.ReplicaSet](m)
		collectWith(m, &appsv1.Deployment{}, &appsv1.ReplicaSet{})
		Eventually(gone(ctx, s, only)).Should(BeTrue())
		Eventually(func(g Gomega) {
			got, err := store.Get[*appsv1.ReplicaSet](ctx, s, store.KeyOf(shared))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got.OwnerReferences).To(HaveLen(1))
			g.Expect(got.Spec.MinReadySeconds).To(BeEquivalentTo(7))
		}).Should(Succeed())
		Eventually(func(g Gomega) {
			got, err := store.Get[*appsv1.Deployment](ctx, s, store.KeyOf(waits))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got.Finalizers).To(Equal([]string{"example.com/hold"}))
			g.Expect(got.Spec.MinReadySeconds).To(BeEquivalentTo(8))
		}).Should(Succeed())
	}, SpecTimeout(30*time.Second))

	It("treats an owner outside the replica as one that exists", func(ctx SpecContext) {
		s := newStore()
		hidden, seen := create(ctx, s, deployment("hidden")), create(ctx, s, deployment("seen"))
		kept := create(ctx, s, owned(s, pod("kept"), hidden))
		doomed := create(ctx, s, owned(s, pod("doomed"), seen))
		remove(ctx, s, hidden.DeepCopy())
		remove(ctx, s, seen.DeepCopy())
		m := newManager(s)
		_, err := informer.Restrict(m.Replica(), informer.Scope[*appsv1.Deployment]{
			Keep: func(k store.Key) bool { return k.Name != "hidden" },
		})
		Expect(err).NotTo(HaveOccurred())
		collectWith(m, &appsv1.Deployment{}, &corev1.Pod{})
		Eventually(gone(ctx, s, doomed)).Should(BeTrue())
		Consistently(gone(ctx, s, kept), "200ms").Should(BeFalse())
	}, SpecTimeout(30*time.Second))
})
