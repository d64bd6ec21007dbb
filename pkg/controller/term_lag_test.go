package controller_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// shortLag is a little more than a replica that follows etcd may be out of date.
const shortLag = 7 * time.Second

var _ = It("The lag that ends a term is never below what a replica that follows may have", func() {
	for maxLag, want := range map[time.Duration]time.Duration{
		0: 30 * time.Second, time.Second: 15 * time.Second, time.Minute: 2 * time.Minute, math.MaxInt64: math.MaxInt64 - 1,
	} {
		m := newManager(controller.ManagerOptions{MaxLag: maxLag, Leadership: &controller.Leadership{Name: leadershipName}})
		Expect(controller.TermLag(m)).To(Equal(want), maxLag.String())
	}
})

var _ = It("A process whose replica cannot follow etcd gives up its term, or its buckets, until it can again", func(ctx SpecContext) {
	sideBySide(func() { lagOfLeader(ctx) }, func() { lagOfSharding(ctx) })
}, SpecTimeout(2*time.Minute))

// lagOfLeader lets the replica of the leader fall behind: another process takes over, and
// the first one campaigns again when its replica has caught up.
func lagOfLeader(ctx context.Context) {
	GinkgoHelper()
	faulty := newFaulty(etcd) // its lease and its reads always work
	prefix := newStore(etcd.Client()).Prefix()
	enter := func(client *clientv3.Client) *controller.Manager {
		s, err := sharedStore(client, prefix)
		Expect(err).NotTo(HaveOccurred())
		m, err := controller.NewManager(s, controller.ManagerOptions{
			MaxLag: time.Second, Leadership: &controller.Leadership{Name: leadershipName, LeaseTime: patient},
		})
		Expect(err).NotTo(HaveOccurred())
		controller.SetTermLag(m, shortLag)
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(context.Context, controller.Request) (controller.Result, error) { return controller.Result{}, nil }), controller.Options{})).Error().To(Succeed())
		run(m)
		return m
	}
	leads := func(m *controller.Manager) func() bool { return func() bool { return m.Leadership().Leading } }

	first := enter(faulty.client)
	Eventually(leads(first)).Should(BeTrue())
	second := enter(etcd.Client())
	Consistently(leads(second), "2s").Should(BeFalse(), "a replica that follows is never taken for one that does not")
	Expect(leads(first)()).To(BeTrue())

	faulty.hold()
	s, err := sharedStore(etcd.Client(), prefix)
	Expect(err).NotTo(HaveOccurred())
	create(ctx, s, newSite("a", 1))
	Eventually(leads(second), "40s").Should(BeTrue())
	Expect(leads(first)()).To(BeFalse())
	Expect(first.Leadership().LastLoss).To(MatchError(ContainSubstring("the replica has been out of date for more than 7s")))

	Expect(etcd.Client().Delete(ctx, "/homeostat/leadership"+prefix+leadershipName)).Error().NotTo(HaveOccurred())
	Eventually(leads(second)).Should(BeTrue())
	Expect(leads(first)()).To(BeFalse())
	Expect(first.Leadership().Err).To(HaveOccurred())
	faulty.release()
	Eventually(func() error { return first.Leadership().Err }, "30s").ShouldNot(HaveOccurred())
}

// lagOfSharding lets the replica of one of two processes fall behind: the other one gets
// all buckets, and shares them again when the replica has caught up.
func lagOfSharding(ctx context.Context) {
	GinkgoHelper()
	faulty := newFaulty(etcd)
	prefix := newStore(etcd.Client()).Prefix()
	enter := func(client *clientv3.Client) *controller.Manager {
		s, err := sharedStore(client, prefix)
		Expect(err).NotTo(HaveOccurred())
		m, err := controller.NewManager(s, controller.ManagerOptions{
			MaxLag: time.Second, Sharding: &controller.Sharding{Name: shardingName, Buckets: 64, LeaseTime: patient},
		})
		Expect(err).NotTo(HaveOccurred())
		controller.SetTermLag(m, shortLag)
		Expect(controller.New(m, "c", func(context.Context, *controller.Tx, *Site) (controller.Result, error) {
			return controller.Result{}, nil
		}, controller.Options{})).Error().To(Succeed())
		run(m)
		return m
	}
	first, second := enter(faulty.client), enter(etcd.Client())
	owned := func(m *controller.Manager) func() int { return func() int { return m.Sharding().Owned } }
	shared := func() {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			g.Expect(first.Sharding().Members).To(HaveLen(2))
			g.Expect(owned(first)() + owned(second)()).To(Equal(64))
			g.Expect(owned(first)()).NotTo(BeZero())
		}, "30s").Should(Succeed())
	}
	shared()
	faulty.hold()
	s, err := sharedStore(etcd.Client(), prefix)
	Expect(err).NotTo(HaveOccurred())
	create(ctx, s, newSite("a", 1))
	Eventually(owned(second), "40s").Should(Equal(64))
	Expect(first.Sharding().LastLoss).To(MatchError(ContainSubstring("the replica has been out of date for more than 7s")))
	faulty.release()
	shared()
}

var _ = It("A leadership is won and kept while one of three members is cut off from the others", func(ctx SpecContext) {
	cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{Members: 3})
	prefix := newStore(cluster.Client()).Prefix()
	for n := range cutOff() {
		isolated := (int(GinkgoRandomSeed()) + n) % 3
		cluster.Isolate(isolated)
		Expect(cluster.Leader(ctx)).NotTo(Equal(isolated))
		time.Sleep(time.Second) // the member notices
		s, err := sharedStore(cluster.Client(), prefix)
		Expect(err).NotTo(HaveOccurred())
		m, err := controller.NewManager(s, controller.ManagerOptions{Leadership: &controller.Leadership{Name: leadershipName, LeaseTime: 3 * time.Second}})
		Expect(err).NotTo(HaveOccurred())
		name := fmt.Sprintf("a-%d", isolated)
		Expect(controller.New(m, "c", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			site.Status.Ready = 1
			tx.UpdateStatus(site)
			return controller.Result{}, nil
		}, controller.Options{})).Error().To(Succeed())
		stop := run(m)
		Eventually(func() bool { return m.Leadership().Leading }, "8s").Should(BeTrue())
		create(ctx, s, newSite(name, 1))
		Eventually(func() (int32, error) {
			site, err := store.Get[*Site](ctx, s, store.KeyOf(newSite(name, 1)))
			if err != nil {
				return 0, err
			}
			return site.Status.Ready, nil
		}, "8s").Should(Equal(int32(1)))
		Consistently(func() int { return m.Leadership().Lost }, "4s").Should(BeZero())
		stop()
		cluster.Heal()
		Expect(cluster.Leader(ctx)).Error().NotTo(HaveOccurred())
	}
}, Label("soak"), SpecTimeout(2*time.Minute))

// cutOff is how many of three members are cut off, one after the other: one by default, or
// all of them if HOMEOSTAT_SOAK is set.
func cutOff() int {
	if os.Getenv("HOMEOSTAT_SOAK") != "" {
		return 3
	}
	return 1
}
