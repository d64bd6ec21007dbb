package controller_test

import (
	"context"
	"errors"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
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

	It("is one candidate's; the others hold nothing, and know who leads", func(ctx SpecContext) {
		cluster := etcdtest.Start(GinkgoTB())
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
		}
		writes(ctx, c, leader)
		Expect(c.verify(ctx)).To(HaveLen(1))
		leases, err := cluster.Client().Leases(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(leases.Leases).To(HaveLen(1))
	}, SpecTimeout(time.Minute))

	It("is handed over when its holder stops, without waiting for the lease", func(ctx SpecContext) {
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

	for how, fault := range map[string]func(*etcdtest.Link){
		"cut off":                (*etcdtest.Link).Cut,
		"cut off without a word": (*etcdtest.Link).Freeze,
	} {
		It("passes on when its holder is "+how+", who stops by itself and stands again", func(ctx SpecContext) {
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
		}, SpecTimeout(time.Minute))
	}

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

	It("outlives a restart of etcd, or is won again", func(ctx SpecContext) {
		cluster := etcdtest.Start(GinkgoTB())
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
		cluster := etcdtest.Start(GinkgoTB())
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
		s, err := cluster.NewClient(etcdtest.To(cluster.Member((lone + 1) % 3).Endpoint()))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(s.Close)
		c.store, err = sharedStore(s, c.store.Prefix())
		Expect(err).NotTo(HaveOccurred())
		leaderOf(c, first)
		writes(ctx, c, second)
		Eventually(func() bool { return first.Leadership().Leading }).Should(BeFalse())
		cluster.Heal()
		Eventually(func() int64 { return first.Leadership().Leader.Revision }).Should(Equal(second.Leadership().Leader.Revision))
		Expect(len(c.verify(ctx))).To(BeNumerically(">=", 2))
	}, SpecTimeout(2*time.Minute))

	It("tells whoever asks, and of changes", func(ctx SpecContext) {
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
		Expect(goroutinesIn("/pkg/controller.(*keyWatch)")).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("says when a key that nobody holds is in the way", func(ctx SpecContext) {
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

	It("needs a name, and time", func() {
		s := newStore(etcd.Client())
		for _, l := range []controller.Leadership{{}, {Name: "a/b"}, {Name: "a", LeaseTime: -1}} {
			_, err := controller.NewManager(s, controller.ManagerOptions{Leadership: &l})
			Expect(err).To(HaveOccurred())
		}
	})
})

var _ = Describe("A manager under leadership", func() {
	lead := func(o controller.ManagerOptions) controller.ManagerOptions {
		o.Leadership = &controller.Leadership{Name: leadershipName, LeaseTime: patient}
		return o
	}
	lose := func(ctx context.Context, m *controller.Manager) {
		GinkgoHelper()
		Expect(etcd.Client().Delete(ctx, leadershipKeyOf(m.Store()))).Error().NotTo(HaveOccurred())
	}

	It("cancels its reconciles when it loses, and never lets what is left of a term write again", func(ctx SpecContext) {
		c := newContest(ctx, etcd, patient)
		m, err := controller.NewManager(c.store, lead(controller.ManagerOptions{}))
		Expect(err).NotTo(HaveOccurred())
		var contexts journal[context.Context]
		Expect(controller.NewFor[*Site](m, "c", controller.Func[controller.Request](
			func(ctx context.Context, _ controller.Request) (controller.Result, error) {
				contexts.note(ctx)
				<-ctx.Done()
				return controller.Result{}, ctx.Err()
			}), controller.Options{})).To(Succeed())
		run(m)
		Eventually(contexts.len).Should(Equal(1))
		lose(ctx, m)
		Eventually(contexts.len).Should(Equal(2))
		late := contexts.all()[0]
		Expect(context.Cause(late)).To(MatchError(ContainSubstring(leadershipKeyOf(m.Store()))))

		// A goroutine of the first term's goes on in the second.
		_, err = m.Store().Create(context.WithoutCancel(late), newSite("late", 1))
		Expect(store.IsFenced(err)).To(BeTrue())
		Expect(m.FencedWrites()).To(Equal(uint64(1)))
		Expect(m.Leadership().Leading).To(BeTrue())
		Expect(m.Store().Create(contexts.all()[1], newSite("in time", 1))).Error().To(HaveOccurred(), "an invalid name")
		Expect(m.Store().Create(contexts.all()[1], newSite("in-time", 1))).Error().NotTo(HaveOccurred())
	}, SpecTimeout(time.Minute))

	It("takes a refused write for the end of the term, not for a failure", func(ctx SpecContext) {
		var log logbook
		m := newManager(lead(controller.ManagerOptions{Log: log.logger()}))
		var tokens journal[int64]
		Expect(controller.New(m, "c", func(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			token, ok := m.FencingToken(ctx)
			Expect(ok).To(BeTrue())
			tokens.note(token)
			if tokens.len() == 1 {
				lose(context.WithoutCancel(ctx), m)
			}
			site.Status.Ready, site.Status.ObservedGeneration = 1, token
			tx.UpdateStatus(site)
			return controller.Result{}, nil
		}, controller.Options{})).To(Succeed())
		s, err := sharedStore(etcd.Client(), m.Store().Prefix())
		Expect(err).NotTo(HaveOccurred())
		create(ctx, s, newSite("a", 1))
		run(m)
		var site *Site
		Eventually(func() int32 {
			site, err = store.Get[*Site](ctx, s, store.KeyOf(newSite("a", 1)))
			Expect(err).NotTo(HaveOccurred())
			return site.Status.Ready
		}).Should(Equal(int32(1)))
		Expect(site.Status.ObservedGeneration).To(Equal(tokens.all()[1]))
		Expect(tokens.all()[1]).To(BeNumerically(">", tokens.all()[0]))
		Expect(log.with("failed")).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("writes with no context but those of its own", func(ctx SpecContext) {
		m := newManager(lead(controller.ManagerOptions{}))
		other := newManager(lead(controller.ManagerOptions{}))
		errs := make(chan error, 1)
		Expect(other.Add("other", func(ctx context.Context) error {
			_, err := m.Store().Create(ctx, newSite("a", 1))
			errs <- err
			return nil
		})).To(Succeed())
		run(other)
		for _, err := range []error{
			func() error { _, err := m.Store().Create(ctx, newSite("a", 1)); return err }(),
			<-errs,
		} {
			Expect(err).To(MatchError(And(ContainSubstring("not sent"), ContainSubstring(`leadership "spec"`))))
			Expect(store.IsUnknownOutcome(err)).To(BeFalse())
		}
		Expect(count[*Site](ctx, m.Store())).To(BeZero())
	}, SpecTimeout(time.Minute))

	It("begins a term on a replica that has what the terms before wrote", func(ctx SpecContext) {
		slow := newFaulty(etcd)
		m := newManagerOn(newStore(slow.client), lead(controller.ManagerOptions{}))
		var seen journal[int64]
		Expect(controller.NewFor[*Site](m, "c", controller.Func[controller.Request](
			func(ctx context.Context, _ controller.Request) (controller.Result, error) {
				token, _ := m.FencingToken(ctx)
				seen.note(m.Replica().Snapshot().Revision() - token)
				return controller.Result{RequeueAfter: again}, nil
			}), controller.Options{})).To(Succeed())
		s, err := sharedStore(etcd.Client(), m.Store().Prefix())
		Expect(err).NotTo(HaveOccurred())
		create(ctx, s, newSite("a", 1))
		key := leadershipKeyOf(s)
		Expect(etcd.Client().Put(ctx, key, "the one before")).Error().NotTo(HaveOccurred())
		run(m)
		Eventually(func() string { return m.Leadership().Leader.Identity }).Should(Equal("the one before"))
		slow.hold()
		create(ctx, s, newSite("b", 1))
		Expect(etcd.Client().Delete(ctx, key)).Error().NotTo(HaveOccurred())
		Eventually(func() bool { return m.Leadership().Leading }, 30*time.Second).Should(BeTrue()) // by its own look, once
		Expect(seen.all()).To(BeEmpty())
		slow.release()
		Eventually(seen.len).Should(BeNumerically(">", 2))
		Expect(seen.all()).To(HaveEach(BeNumerically(">=", 0)))
	}, SpecTimeout(time.Minute))

	It("runs what belongs in every process whoever leads", func(ctx SpecContext) {
		s := newStore(etcd.Client())
		key := leadershipKeyOf(s)
		Expect(etcd.Client().Put(ctx, key, "another")).Error().NotTo(HaveOccurred())
		m := newManagerOn(s, lead(controller.ManagerOptions{}))
		Expect(controller.New(m, "everywhere", func(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			_, fenced := m.FencingToken(ctx)
			Expect(fenced).To(BeFalse())
			site.Status.Ready = 1
			tx.UpdateStatus(site)
			return controller.Result{}, nil
		}, controller.Options{EveryProcess: true})).To(Succeed())
		Expect(m.Add("every", func(ctx context.Context) error {
			_, err := m.Store().Create(ctx, newSite("a", 1))
			return err
		}, controller.RunnableOptions{EveryProcess: true})).To(Succeed())
		var led names
		Expect(controller.NewFor[*Site](m, "led", &led, controller.Options{})).To(Succeed())
		run(m)
		Eventually(func() int32 {
			site, err := store.Get[*Site](ctx, s, store.KeyOf(newSite("a", 1)))
			if err != nil {
				return 0
			}
			return site.Status.Ready
		}).Should(Equal(int32(1)))
		Expect(led.all()).To(BeEmpty())
		Expect(etcd.Client().Delete(ctx, key)).Error().NotTo(HaveOccurred())
		Eventually(led.all).Should(ContainElement("a"))
	}, SpecTimeout(time.Minute))

	It("calls a runnable in each term, and fails with it only while the term lasts", func(ctx SpecContext) {
		m := newManager(lead(controller.ManagerOptions{}))
		var terms journal[int64]
		cause := errors.New("the second term's")
		Expect(m.Add("r", func(ctx context.Context) error {
			token, _ := m.FencingToken(ctx)
			terms.note(token)
			if terms.len() == 2 {
				return cause
			}
			<-ctx.Done()
			return errors.New("the first term's")
		})).To(Succeed())
		ended := make(chan error)
		go func() { ended <- m.Run(ctx) }()
		Eventually(terms.len).Should(Equal(1))
		lose(ctx, m)
		Eventually(ended).Should(Receive(MatchError(cause)))
		Expect(terms.all()[1]).To(BeNumerically(">", terms.all()[0]))
		resp, err := etcd.Client().Get(ctx, leadershipKeyOf(m.Store()), clientv3.WithCountOnly())
		Expect(err).NotTo(HaveOccurred())
		Expect(resp.Count).To(BeZero())
	}, SpecTimeout(time.Minute))

	It("holds the leadership until the last of its reconciles has ended", func(ctx SpecContext) {
		c := newContest(ctx, etcd, patient)
		first, err := controller.NewManager(c.store, lead(controller.ManagerOptions{GracePeriod: time.Minute}))
		Expect(err).NotTo(HaveOccurred())
		begun, leave := make(chan struct{}), make(chan struct{})
		Expect(controller.New(first, "c", func(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			close(begun)
			<-leave
			site.Status.ObservedGeneration, _ = first.FencingToken(ctx)
			tx.UpdateStatus(site)
			return controller.Result{RequeueAfter: time.Hour}, nil
		}, controller.Options{})).To(Succeed())
		managerCtx, cancel := context.WithCancel(ctx)
		ended := make(chan error)
		go func() { ended <- first.Run(managerCtx) }()
		Eventually(begun).Should(BeClosed())
		second := c.enter(0)
		cancel()
		created, _ := c.leaderKey(ctx)
		Expect(created).NotTo(BeZero())
		close(leave)
		Eventually(ended).Should(Receive(BeNil()))
		leaderOfOne := func() bool { return second.leads() }
		Eventually(leaderOfOne).Should(BeTrue())
		Expect(c.verify(ctx)).To(HaveKeyWithValue(created, 1))
	}, SpecTimeout(time.Minute))

	for how, fault := range map[string]func(*etcdtest.Link){
		"while another leads":               func(*etcdtest.Link) {},
		"from an etcd that does not answer": (*etcdtest.Link).Freeze,
		"from an etcd that is gone":         (*etcdtest.Link).Cut,
	} {
		It("returns when it is cancelled as it campaigns, "+how, func(ctx SpecContext) {
			c := newContest(ctx, etcd, patient)
			x := c.prepare(0, controller.ManagerOptions{})
			Expect(etcd.Client().Put(ctx, leadershipKeyOf(c.store), "another")).Error().NotTo(HaveOccurred())
			x.stop = run(x.Manager)
			Eventually(func() string { return x.Leadership().Leader.Identity }).Should(Equal("another"))
			fault(x.link)
			x.stop()
			Expect(x.terms.all()).To(BeEmpty())
			Expect(goroutinesIn("/pkg/controller.", "/pkg/informer.")).To(BeEmpty())
		}, SpecTimeout(time.Minute))
	}

	It("leaves no goroutine behind when it has led", func(ctx SpecContext) {
		c := newContest(ctx, etcd, patient)
		x := c.enter(0)
		Eventually(x.leads).Should(BeTrue())
		x.stop()
		Expect(goroutinesIn("/pkg/controller.", "/pkg/informer.", "client/v3.(*lessor)")).To(BeEmpty())
	}, SpecTimeout(time.Minute))
})
