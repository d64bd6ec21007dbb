package controller_test

import (
	"context"
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// There are three members of etcd, and a process connected to each. One process is cut
// off. It ignores its contexts and continues to write: only etcd can refuse that.
var _ = Describe("A sharding over the members of an etcd", func() {
	// writeOn writes under the latest token of a candidate until etcd accepts or refuses
	// the write.
	writeOn := func(x *candidate) (ended chan error) {
		GinkgoHelper()
		ended = make(chan error, 1)
		contexts := x.ctx.all()
		late := context.WithoutCancel(contexts[len(contexts)-1])
		etcdtest.Background(GinkgoTB(), func(ctx context.Context) error {
			for ctx.Err() == nil {
				_, err := x.Store().Create(late, newConfigMap("late"))
				if err == nil || store.IsFenced(err) || apierrors.IsAlreadyExists(err) {
					ended <- err
					return nil
				}
			}
			return nil
		})
		return ended
	}
	const a, b, d = "candidate 0", "candidate 1", "candidate 2"

	// By default only the member of a follower; both if HOMEOSTAT_SOAK is set.
	for what, which := range map[string]int{"the leader": 0, "a follower": 1} {
		if what == "the leader" && os.Getenv("HOMEOSTAT_SOAK") == "" {
			continue
		}
		It("moves the buckets of a process whose member, "+what+", is cut off; the process writes nothing until it is back", func(ctx SpecContext) {
			cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{Members: 3})
			leader, err := cluster.Leader(ctx)
			Expect(err).NotTo(HaveOccurred())
			lone := (leader + which) % 3
			c := newSharing(ctx, cluster, 3*time.Second) // so that an election costs no lease
			for i := range 3 {
				x := c.prepare((lone+i)%3, controller.ManagerOptions{})
				x.again = time.Second // the history of three members' etcd is long enough
				x.stop = run(x.Manager)
			}
			first := c.candidates[0]
			before := c.settled(ctx, a, b, d)

			cluster.Isolate(lone)
			ended := writeOn(first)
			_, err = cluster.Leader(ctx)
			Expect(err).NotTo(HaveOccurred())
			c.lookThrough((lone + 1) % 3)
			apart := c.settled(ctx, b, d)
			Expect(apart.taken(len(before.moves))).NotTo(HaveKey(a))
			lost := c.candidates[1].Sharding().Lost + c.candidates[2].Sharding().Lost // on a very busy machine
			for n, who := range before.owners {
				if who != a && lost == 0 {
					Expect(apart.owners).To(HaveKeyWithValue(n, who), "bucket %d had no need to move", n)
				}
			}
			Eventually(func() int { return first.Sharding().Owned }).Should(BeZero())
			Expect(first.Sharding().LastLoss).To(HaveOccurred())
			Eventually(func() error { return first.Sharding().Err }).Should(HaveOccurred())
			Expect(first.Ready(ctx)).To(MatchError(ContainSubstring("sharding")))
			Expect(ended).NotTo(Receive())

			cluster.Heal()
			c.settled(ctx, a, b, d)
			Eventually(func() error { return first.Sharding().Err }).ShouldNot(HaveOccurred())
			Eventually(ended).Should(Receive(MatchError(store.IsFenced, "is fenced")))
			_, err = store.Get[*corev1.ConfigMap](ctx, c.store, store.KeyOf(newConfigMap("late")))
			Expect(err).To(MatchError(apierrors.IsNotFound, "is not found"))
		}, Label("soak"), SpecTimeout(5*time.Minute))
	}
})
