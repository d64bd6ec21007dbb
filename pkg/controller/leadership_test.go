package controller_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
)

var _ = Describe("A leadership", func() {
	// leaderOf waits until exactly one candidate leads, that is none of others.
	leaderOf := func(c *contest, others ...*candidate) (leader *candidate) {
		GinkgoHelper()
		Eventually(func() int {
			leading := 0
			for _, x := range c.candidates {
				if x.leads() && !slices.Contains(others, x) {
					leader = x
					leading++
				}
			}
			return leading
		}).Should(Equal(1))
		return leader
	}
	// writes waits until a candidate has written in its present term.
	writes := func(ctx context.Context, c *contest, x *candidate) {
		GinkgoHelper()
		Eventually(func() int { return c.verify(ctx)[x.Leadership().Leader.Revision] }).WithPolling(50 * time.Millisecond).Should(BeNumerically(">", 4))
	}

	It("belongs to one candidate; the others hold nothing, and know who leads", func(ctx SpecContext) {
		cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
		c := newContest(ctx, cluster, patient)
		for range 3 {
			c.enter(0)
		}
		leader := leaderOf(c)
		created, _ := c.leaderKey(ctx)
		for _, x := range c.candidates {
			Eventually(func() int64 { return x.Leadership().Leader.Revision }).Should(Equal(created))
			status := x.Leadership()
			Expect(status.Leader.Identity).To(Equal(leader.Leadership().Identity))
			Expect(status.Leader.Since).To(BeTemporally("~", time.Now(), time.Minute))
			Expect(status.Leading).To(Equal(x == leader))
			Expect(status.Err).NotTo(HaveOccurred())
			Expect(metric(x.Manager, "homeostat_leadership_terms_total")()).To(BeNumerically("==", status.Terms))
			Expect(metric(x.Manager, "homeostat_leading")()).To(BeNumerically("==", status.Terms))
			Expect(x.Ready(ctx)).To(Succeed())
		}
		writes(ctx, c, leader)
		Expect(c.verify(ctx)).To(HaveLen(1))
		leases, err := cluster.Client().Leases(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(leases.Leases).To(HaveLen(1))
	}, SpecTimeout(time.Minute))

	It("is handed over at once when its holder stops", func(ctx SpecContext) {
		c := newContest(ctx, etcd, patient)
		for range 3 {
			c.enter(0)
		}
		var led []*candidate
		for range 3 {
			leader := leaderOf(c, led...)
			writes(ctx, c, leader)
			leader.stop()
			Expect(leader.Leadership().Leading).To(BeFalse())
			Expect(leader.Leadership().Lost).To(BeZero())
			led = append(led, leader)
		}
		created, _ := c.leaderKey(ctx)
		Expect(created).To(BeZero())
		Expect(c.verify(ctx)).To(HaveLen(3))
	}, SpecTimeout(time.Minute))

	It("passes on when its holder is cut off, silently or not; the holder stops by itself and campaigns again", func(ctx SpecContext) {
		passesOn := func(fault func(*etcdtest.Link)) {
			GinkgoHelper()
			c := newContest(ctx, etcd, briefly)
			first := c.enter(0)
			leaderOf(c)
			writes(ctx, c, first)
			second := c.enter(0)
			fault(first.link)
			leaderOf(c, first)
			writes(ctx, c, second)
			Eventually(func() bool { return first.Leadership().Leading }).Should(BeFalse())
			Expect(first.ctx.all()[0].Err()).To(HaveOccurred())
			first.link.Heal()
			Eventually(func() int64 { return first.Leadership().Leader.Revision }).Should(Equal(second.Leadership().Leader.Revision))
			second.stop()
			leaderOf(c, second)
			writes(ctx, c, first)
			Expect(len(c.verify(ctx))).To(BeNumerically(">=", 3))
			Expect(first.Leadership().Terms).To(BeNumerically(">=", 2))
			Expect(first.Leadership().Lost).To(BeNumerically(">=", 1))
			Expect(first.Leadership().LastLoss).To(HaveOccurred())
		}
		sideBySide(func() { passesOn((*etcdtest.Link).Cut) }, func() { passesOn((*etcdtest.Link).Freeze) })
	}, SpecTimeout(time.Minute))

	for how, take := range map[string]func(ctx SpecContext, c *contest){
		"its lease is revoked": func(ctx SpecContext, c *contest) {
			_, lease := c.leaderKey(ctx)
			Expect(c.cluster.Client().Revoke(ctx, lease)).Error().NotTo(HaveOccurred())
		},
		"its key is deleted by hand": func(ctx SpecContext, c *contest) {
			Expect(c.cluster.Client().Delete(ctx, leadershipKeyOf(c.store))).Error().NotTo(HaveOccurred())
		},
	} {
		It("is lost at once when "+how+", and won again by the same process", func(ctx SpecContext) {
			c := newContest(ctx, etcd, patient)
			x := c.enter(0)
			leaderOf(c)
			writes(ctx, c, x)
			take(ctx, c)
			Eventually(func() int { return x.Leadership().Lost }).Should(Equal(1))
			Eventually(func() bool { return x.leads() && x.Leadership().Terms == 2 }).Should(BeTrue())
			writes(ctx, c, x)
			Expect(c.verify(ctx)).To(HaveLen(2))
			Expect(x.Leadership().LastLoss).To(HaveOccurred())
			Expect(x.ctx.all()[0].Err()).To(HaveOccurred())
		}, SpecTimeout(time.Minute))
	}

	It("is not given up because there is nothing left to do", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{Leadership: &controller.Leadership{Name: leadershipName}})
		done := make(chan struct{})
		Expect(m.Add("once a term", func(context.Context) error { close(done); return nil }, controller.RunnableOptions{})).To(Succeed())
		run(m)
		Eventually(done).Should(BeClosed())
		Consistently(func() controller.LeadershipStatus { return m.Leadership() }).Should(And(
			HaveField("Leading", true), HaveField("Terms", 1)))
	}, SpecTimeout(time.Minute))

	It("survives a restart of etcd, or is won again", func(ctx SpecContext) {
		cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
		c := newContest(ctx, cluster, briefly)
		c.enter(0)
		c.enter(0)
		writes(ctx, c, leaderOf(c))
		for range 3 {
			Expect(cluster.Member(0).Stop()).To(Succeed())
			Expect(cluster.Member(0).Restart(ctx)).To(Succeed())
			before := len(historyOf(ctx, c.store, c.begun+1))
			Eventually(func() int { c.verify(ctx); return len(historyOf(ctx, c.store, c.begun+1)) }).Should(BeNumerically(">", before+10))
		}
	}, SpecTimeout(2*time.Minute))

	It("is lost with etcd's data, and won again", func(ctx SpecContext) {
		cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
		c := newContest(ctx, cluster, briefly)
		x := c.enter(0)
		writes(ctx, c, leaderOf(c))
		Expect(cluster.Wipe(ctx)).To(Succeed())
		c.begun = 0
		create(ctx, c.store, newSite("a", 1), newConfigMap("a"))
		Eventually(func() int { return x.Leadership().Lost }).Should(BeNumerically(">=", 1))
		Eventually(func() int { return len(c.verify(ctx)) }).Should(BeNumerically(">=", 1))
	}, SpecTimeout(2*time.Minute))

	It("passes on when its holder's member of etcd is cut off from the others", func(ctx SpecContext) {
		cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{Members: 3})
		c := newContest(ctx, cluster, briefly)
		lone, err := cluster.Leader(ctx)
		Expect(err).NotTo(HaveOccurred())
		first := c.enter(lone)
		writes(ctx, c, leaderOf(c))
		second := c.enter((lone + 1) % 3)
		cluster.Isolate(lone)
		_, err = cluster.Leader(ctx)
		Expect(err).NotTo(HaveOccurred())
		c.lookThrough((lone + 1) % 3)
		leaderOf(c, first)
		writes(ctx, c, second)
		Eventually(func() bool { return first.Leadership().Leading }).Should(BeFalse())
		cluster.Heal()
		Eventually(func() int64 { return first.Leadership().Leader.Revision }).Should(Equal(second.Leadership().Leader.Revision))
		Expect(len(c.verify(ctx))).To(BeNumerically(">=", 2))
	}, SpecTimeout(2*time.Minute))

	It("can be watched by any process", func(ctx SpecContext) {
		c := newContest(ctx, etcd, patient)
		watching, cancel := context.WithCancel(ctx)
		defer cancel()
		var seen journal[string]
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for leader, err := range controller.Leaders(watching, c.store, leadershipName) {
				if err == nil {
					seen.note(leader.Identity)
				}
			}
		}()
		Eventually(seen.all).Should(Equal([]string{""}))
		x := c.enter(0)
		Eventually(seen.all).Should(Equal([]string{"", "candidate 0"}))
		x.stop()
		Eventually(seen.all).Should(Equal([]string{"", "candidate 0", ""}))
		for leader := range controller.Leaders(ctx, c.store, leadershipName) {
			Expect(leader).To(BeZero())
			break
		}
		cancel()
		Eventually(ended).Should(BeClosed())
		Expect(goroutinesIn("/pkg/controller/internal/lease.")).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("reports a key without a lease that is in the way", func(ctx SpecContext) {
		c := newContest(ctx, etcd, patient)
		key := leadershipKeyOf(c.store)
		Expect(etcd.Client().Put(ctx, key, "by hand")).Error().NotTo(HaveOccurred())
		x := c.enter(0)
		Eventually(func() error { return x.Leadership().Err }).Should(MatchError(ContainSubstring(key)))
		Eventually(func() string { return x.Leadership().Leader.Identity }).Should(Equal("by hand"))
		Expect(etcd.Client().Delete(ctx, key)).Error().NotTo(HaveOccurred())
		leaderOf(c)
		Eventually(func() error { return x.Leadership().Err }).ShouldNot(HaveOccurred())
	}, SpecTimeout(time.Minute))

	It("keeps reporting a key without a lease, whatever happens to it", func(ctx SpecContext) {
		log := new(logbook)
		s := newStore(etcd.Client())
		key := leadershipKeyOf(s)
		hand := func(value string) {
			GinkgoHelper()
			Expect(etcd.Client().Put(ctx, key, value)).Error().NotTo(HaveOccurred())
		}
		hand("by hand")
		m := newManagerOn(s, controller.ManagerOptions{Log: log.logger(), Leadership: &controller.Leadership{Name: leadershipName}})
		run(m)
		Eventually(func() error { return m.Leadership().Err }).Should(MatchError(ContainSubstring("without a lease")))
		for i := range 20 { // each is a look at the key, as there is one every 5 seconds
			hand(fmt.Sprint("again ", i))
			Eventually(func() string {
				Expect(m.Leadership().Err).To(HaveOccurred())
				return m.Leadership().Leader.Identity
			}).WithPolling(time.Millisecond).Should(Equal(fmt.Sprint("again ", i)))
		}
		Expect(log.with("cannot campaign")).To(HaveLen(1))
	}, SpecTimeout(time.Minute))

	It("is lost when somebody puts its key without the lease", func(ctx SpecContext) {
		c := newContest(ctx, etcd, patient)
		x := c.enter(0)
		leaderOf(c)
		Expect(etcd.Client().Put(ctx, leadershipKeyOf(c.store), "by hand")).Error().NotTo(HaveOccurred())
		Eventually(func() int { return x.Leadership().Lost }).Should(Equal(1))
		Expect(x.Leadership().LastLoss).To(MatchError(ContainSubstring("no longer attached to its lease")))
		Eventually(func() error { return x.Leadership().Err }).Should(MatchError(ContainSubstring("without a lease: delete it")))
		Expect(etcd.Client().Delete(ctx, leadershipKeyOf(c.store))).Error().NotTo(HaveOccurred())
		leaderOf(c)
	}, SpecTimeout(time.Minute))

	It("refuses an invalid name or lease time", func() {
		s := newStore(etcd.Client())
		for _, l := range []controller.Leadership{{}, {Name: "a/b"}, {Name: "a", LeaseTime: -1},
			{Name: "a", LeaseTime: math.MaxInt64}, {Name: "a", LeaseTime: 11 * 365 * 24 * time.Hour}} {
			_, err := controller.NewManager(s, controller.ManagerOptions{Leadership: &l})
			Expect(err).To(HaveOccurred())
		}
	})
})
