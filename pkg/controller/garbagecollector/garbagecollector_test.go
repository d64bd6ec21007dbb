package garbagecollector_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/garbagecollector"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("The garbage collector", func() {
	var s *store.Store

	BeforeEach(func() { s = newStore() })

	// swept waits until the collector has looked at all that was created before.
	swept := func(ctx context.Context) {
		GinkgoHelper()
		owner := create(ctx, s, deployment("marker"))
		marker := create(ctx, s, owned(s, replicaSet("marker"), owner))
		remove(ctx, s, owner)
		Eventually(gone(ctx, s, marker)).Should(BeTrue())
	}
	all := []store.Object{&appsv1.Deployment{}, &appsv1.ReplicaSet{}, &corev1.Pod{}}

	It("deletes the descendants of a deleted owner", func(ctx SpecContext) {
		collect(s, all...)
		top := create(ctx, s, deployment("top"))
		middle := create(ctx, s, owned(s, replicaSet("middle"), top))
		bottom := create(ctx, s, owned(s, pod("bottom"), middle))
		other := create(ctx, s, pod("other"))
		remove(ctx, s, top)
		Eventually(gone(ctx, s, bottom)).Should(BeTrue())
		Eventually(gone(ctx, s, middle)).Should(BeTrue())
		Expect(gone(ctx, s, other)()).To(BeFalse())
	}, SpecTimeout(30*time.Second))

	It("deletes the dependents of an owner whose name another object has taken", func(ctx SpecContext) {
		collect(s, all...)
		first := create(ctx, s, deployment("d"))
		old := create(ctx, s, owned(s, replicaSet("old"), first))
		remove(ctx, s, first.DeepCopy())
		second := create(ctx, s, deployment("d"))
		young := create(ctx, s, owned(s, replicaSet("young"), second))
		late := create(ctx, s, owned(s, replicaSet("late"), first))
		Eventually(gone(ctx, s, old)).Should(BeTrue())
		Eventually(gone(ctx, s, late)).Should(BeTrue())
		Expect(gone(ctx, s, young)()).To(BeFalse())
	}, SpecTimeout(30*time.Second))

	It("distinguishes a new owner from the old one if the replica saw only a modification", func(ctx SpecContext) {
		collect(s, all...)
		first := create(ctx, s, deployment("d"))
		old := create(ctx, s, owned(s, replicaSet("old"), first))
		swept(ctx)
		// As a replica sees it that was cut off when one went and another came.
		first.UID = types.UID("another")
		first.ResourceVersion = ""
		value, err := json.Marshal(first)
		Expect(err).NotTo(HaveOccurred())
		Expect(etcd.Client().Put(ctx, s.Prefix()+"apps/deployments/default/d", string(value))).Error().NotTo(HaveOccurred())
		Eventually(gone(ctx, s, old)).Should(BeTrue())
	}, SpecTimeout(30*time.Second))

	It("removes references to owners that are gone while others exist", func(ctx SpecContext) {
		collect(s, all...)
		stays, goes := create(ctx, s, deployment("stays")), create(ctx, s, deployment("goes"))
		child := create(ctx, s, owned(s, replicaSet("child"), goes, stays))
		remove(ctx, s, goes)
		Eventually(func() []types.UID {
			got, err := store.Get[*appsv1.ReplicaSet](ctx, s, store.KeyOf(child))
			Expect(err).NotTo(HaveOccurred())
			var uids []types.UID
			for _, ref := range got.OwnerReferences {
				uids = append(uids, ref.UID)
			}
			return uids
		}).Should(Equal([]types.UID{stays.UID}))
	}, SpecTimeout(30*time.Second))

	It("ignores references to unknown kinds and references that cannot be resolved", func(ctx SpecContext) {
		collect(s, append(all, &corev1.Node{})...)
		unknown := create(ctx, s, configMap("owner"))
		child := create(ctx, s, owned(s, pod("child"), unknown))
		remove(ctx, s, unknown)
		namespaced := create(ctx, s, deployment("d"))
		node := create(ctx, s, owned(s, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}}, namespaced))
		remove(ctx, s, namespaced)
		odd := pod("odd")
		odd.OwnerReferences = []metav1.OwnerReference{{APIVersion: "a/b/c", Kind: "K", Name: "n", UID: "u"}}
		value, err := json.Marshal(&corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: odd.ObjectMeta})
		Expect(err).NotTo(HaveOccurred())
		Expect(etcd.Client().Put(ctx, s.Prefix()+"core/pods/default/odd", string(value))).Error().NotTo(HaveOccurred())
		swept(ctx)
		for _, obj := range []store.Object{child, node, odd} {
			Expect(gone(ctx, s, obj)()).To(BeFalse())
		}
		Expect(complained()).To(ConsistOf(And(ContainSubstring("for good"), ContainSubstring("a/b/c"))))
	}, SpecTimeout(30*time.Second))

	It("keeps the dependents of an owner that cannot be decoded until it is gone", func(ctx SpecContext) {
		owner := create(ctx, s, deployment("d"))
		child := create(ctx, s, owned(s, replicaSet("child"), owner))
		key := s.Prefix() + "apps/deployments/default/d"
		Expect(etcd.Client().Put(ctx, key, "gibberish")).Error().NotTo(HaveOccurred())
		collect(s, all...)
		swept(ctx)
		Expect(gone(ctx, s, child)()).To(BeFalse())
		Expect(etcd.Client().Delete(ctx, key)).Error().NotTo(HaveOccurred())
		Eventually(gone(ctx, s, child)).Should(BeTrue())
	}, SpecTimeout(30*time.Second))

	It("keeps the dependents of an owner that has become undecodable", func(ctx SpecContext) {
		collect(s, all...)
		owner := create(ctx, s, deployment("d"))
		child := create(ctx, s, owned(s, replicaSet("child"), owner))
		Expect(etcd.Client().Put(ctx, s.Prefix()+"apps/deployments/default/d", "gibberish")).Error().NotTo(HaveOccurred())
		child.Labels = map[string]string{"look": "again"}
		Expect(s.Update(ctx, child)).Error().NotTo(HaveOccurred())
		swept(ctx)
		Expect(gone(ctx, s, child)()).To(BeFalse())
	}, SpecTimeout(30*time.Second))

	It("deletes a dependent that is created after its owner is gone", func(ctx SpecContext) {
		collect(s, all...)
		owner := create(ctx, s, deployment("d"))
		remove(ctx, s, owner.DeepCopy())
		child := create(ctx, s, owned(s, replicaSet("late"), owner))
		Eventually(gone(ctx, s, child)).Should(BeTrue())
	}, SpecTimeout(30*time.Second))

	It("deletes dependents that lost their owner while no collector ran", func(ctx SpecContext) {
		stop := collect(s, all...)
		owner := create(ctx, s, deployment("d"))
		child := create(ctx, s, owned(s, replicaSet("child"), owner))
		swept(ctx)
		stop()
		remove(ctx, s, owner)
		Expect(gone(ctx, s, child)()).To(BeFalse())
		collect(s, all...)
		Eventually(gone(ctx, s, child)).Should(BeTrue())
	}, SpecTimeout(30*time.Second))

	It("finds cluster-scoped owners", func(ctx SpecContext) {
		collect(s, &corev1.Node{}, &corev1.Pod{})
		node := create(ctx, s, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}})
		child := create(ctx, s, owned(s, pod("child"), node))
		cluster := create(ctx, s, owned(s, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "child"}}, node))
		remove(ctx, s, node)
		Eventually(gone(ctx, s, child)).Should(BeTrue())
		Eventually(gone(ctx, s, cluster)).Should(BeTrue())
	}, SpecTimeout(30*time.Second))

	It("respects finalizers", func(ctx SpecContext) {
		collect(s, all...)
		owner := create(ctx, s, deployment("d"))
		held := owned(s, replicaSet("held"), owner)
		held.Finalizers = []string{"example.com/hold"}
		create(ctx, s, held)
		below := create(ctx, s, owned(s, pod("below"), held))
		remove(ctx, s, owner)
		Eventually(func() *metav1.Time {
			got, err := store.Get[*appsv1.ReplicaSet](ctx, s, store.KeyOf(held))
			Expect(err).NotTo(HaveOccurred())
			return got.DeletionTimestamp
		}).ShouldNot(BeNil())
		swept(ctx)
		Expect(gone(ctx, s, below)()).To(BeFalse(), "its owner is still there")
		Expect(store.Mutate(ctx, s, store.KeyOf(held), func(rs *appsv1.ReplicaSet) error {
			rs.Finalizers = nil
			return nil
		})).Error().NotTo(HaveOccurred())
		Eventually(gone(ctx, s, held)).Should(BeTrue())
		Eventually(gone(ctx, s, below)).Should(BeTrue())
	}, SpecTimeout(30*time.Second))

	It("deletes a thousand dependents", func(ctx SpecContext) {
		collect(s, all...)
		owner := create(ctx, s, deployment("d"))
		const children, batch = 1000, 100
		for first := 0; first < children; first += batch {
			t := s.Txn()
			for i := range batch {
				t.Create(owned(s, pod(fmt.Sprint("child-", first+i)), owner))
			}
			Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
		}
		remove(ctx, s, owner)
		Eventually(func() int {
			pods, err := s.Client().Get(ctx, s.Prefix()+"core/pods/", clientv3.WithPrefix(), clientv3.WithCountOnly())
			Expect(err).NotTo(HaveOccurred())
			return int(pods.Count)
		}).WithTimeout(2 * time.Minute).Should(BeZero())
	}, SpecTimeout(150*time.Second))

	It("refuses missing, repeated and unknown kinds", func() {
		m, err := controller.NewManager(s, controller.ManagerOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(garbagecollector.Add(m)).To(MatchError(ContainSubstring("no kinds")))
		Expect(garbagecollector.Add(m, &corev1.Pod{}, &corev1.Pod{})).To(MatchError(ContainSubstring("given twice")))
		Expect(garbagecollector.Add(m, &store.Resource[int, int]{})).To(MatchError(ContainSubstring("not known")))
		Expect(garbagecollector.Add(m, &corev1.Pod{})).To(Succeed())
		Expect(garbagecollector.Add(m, &corev1.Pod{})).To(MatchError(ContainSubstring("of that name")))
	})
})
