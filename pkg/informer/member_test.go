package informer_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
)

// nameless returns a ConfigMap whose name the store generates.
func nameless(data ...string) *corev1.ConfigMap {
	cm := configMap("", data...)
	cm.GenerateName = "cm-"
	return cm
}

var _ = It("One member that is cut off from the others keeps no replica from syncing and following", func(ctx SpecContext) {
	// They mostly wait for the member that does not answer.
	sideBySide(
		func() { syncsWithout(ctx, func(leader int) int { return (leader + 1) % 3 }) },
		func() { syncsWithout(ctx, func(leader int) int { return leader }) },
		func() { movesOn(ctx) },
	)
}, SpecTimeout(2*specTimeout))

// syncsWithout starts replicas while one member is cut off from the others.
func syncsWithout(ctx context.Context, choose func(leader int) int) {
	GinkgoHelper()
	cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{Members: 3})
	leader, err := cluster.Leader(ctx)
	Expect(err).NotTo(HaveOccurred())
	s := newStoreOn(cluster.Client())
	create(ctx, s, configMap("a", "v", "0"))

	isolated := choose(leader)
	cluster.Isolate(isolated)
	Expect(cluster.Leader(ctx)).NotTo(Equal(isolated))
	for range 3 { // the balancer's turn differs
		r := informer.NewReplica(s, informer.Options{})
		informerFor[*corev1.ConfigMap](r)
		informerFor[*corev1.Secret](r)
		informerFor[*corev1.Pod](r)
		informerFor[*appsv1.Deployment](r)
		informerFor[*site](r)
		began := time.Now()
		stop := startSynced(ctx, r)
		Expect(time.Since(began)).To(BeNumerically("<", 20*time.Second))
		rev := create(ctx, s, nameless("v", "1"))
		began = time.Now()
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Expect(time.Since(began)).To(BeNumerically("<", 20*time.Second))
		stop()
	}
}

// movesOn cuts off each member from the others while a replica follows. The replica moves
// to another member when it is its own.
func movesOn(ctx context.Context) {
	GinkgoHelper()
	cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{Members: 3})
	s := newStoreOn(cluster.Client())
	r, _ := newReplica(s)
	informerFor[*corev1.Secret](r)
	startSynced(ctx, r)
	for i := range 3 {
		cluster.Isolate(i)
		Expect(cluster.Leader(ctx)).NotTo(Equal(i))
		var rev int64
		Eventually(func() (err error) { // a member that has not noticed yet may keep a write waiting
			rev, err = s.Create(ctx, nameless("v", "1"))
			return err
		}).WithTimeout(20 * time.Second).Should(Succeed())
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		cluster.Heal()
		Expect(cluster.Leader(ctx)).Error().NotTo(HaveOccurred())
	}
	Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1}))
}
