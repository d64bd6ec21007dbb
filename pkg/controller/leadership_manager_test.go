package controller_test

import (
	"context"
	"errors"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A manager under leadership", func() {
	lead := func(o controller.ManagerOptions) controller.ManagerOptions {
		o.Leadership = &controller.Leadership{Name: leadershipName, LeaseTime: patient}
		return o
	}
	lose := func(ctx context.Context, m *controller.Manager) {
		GinkgoHelper()
		Expect(etcd.Client().Delete(ctx, leadershipKeyOf(m.Store()))).Error().NotTo(HaveOccurred())
	}

	It("cancels its reconciles when it loses, and refuses writes left over from the term", func(ctx SpecContext) {
		c := newContest(ctx, etcd, patient)
		// The reconcile ends with its context alone, even when the manager stops.
		m, err := controller.NewManager(c.store, lead(controller.ManagerOptions{GracePeriod: time.Millisecond}))
		Expect(err).NotTo(HaveOccurred())
		var contexts journal[context.Context]
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(ctx context.Context, _ controller.Request) (controller.Result, error) {
				contexts.note(ctx)
				<-ctx.Done()
				return controller.Result{}, ctx.Err()
			}), controller.Options{})).Error().To(Succeed())
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

	It("ends the term at a refused write, which is no failure", func(ctx SpecContext) {
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
		}, controller.Options{})).Error().To(Succeed())
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

	It("refuses writes with other contexts than its own", func(ctx SpecContext) {
		m := newManager(lead(controller.ManagerOptions{}))
		other := newManager(lead(controller.ManagerOptions{}))
		errs := make(chan error, 1)
		Expect(other.Add("other", func(ctx context.Context) error {
			_, err := m.Store().Create(ctx, newSite("a", 1))
			errs <- err
			return nil
		}, controller.RunnableOptions{})).To(Succeed())
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

	It("begins a term once the replica has what previous terms wrote", func(ctx SpecContext) {
		slow := newFaulty(etcd)
		m := newManagerOn(newStore(slow.client), lead(controller.ManagerOptions{}))
		var seen journal[int64]
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(ctx context.Context, _ controller.Request) (controller.Result, error) {
				token, _ := m.FencingToken(ctx)
				seen.note(m.Replica().Snapshot().Revision() - token)
				return controller.Result{RequeueAfter: again}, nil
			}), controller.Options{})).Error().To(Succeed())
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
		Eventually(func() bool { return m.Leadership().Leading }).Should(BeTrue())
		Expect(seen.all()).To(BeEmpty())
		slow.release()
		Eventually(seen.len).Should(BeNumerically(">", 2))
		Expect(seen.all()).To(HaveEach(BeNumerically(">=", 0)))
	}, SpecTimeout(time.Minute))

	It("runs a controller in every process when the manager's options say so", func(ctx SpecContext) {
		s := newStore(etcd.Client())
		Expect(etcd.Client().Put(ctx, leadershipKeyOf(s), "another")).Error().NotTo(HaveOccurred())
		o := lead(controller.ManagerOptions{Controllers: map[string]func(*controller.Options){
			"c": func(o *controller.Options) { o.EveryProcess = true },
		}})
		o.Sharding = &controller.Sharding{Name: shardingName}
		m := newManagerOn(s, o)
		var calls names
		Expect(controller.NewFor[*Site](m, "c", &calls, controller.Options{})).Error().To(Succeed())
		create(ctx, s, newSite("a", 1))
		run(m)
		Eventually(calls.all).Should(ContainElement("a"))
	}, SpecTimeout(time.Minute))

	It("runs controllers and runnables for every process, whoever leads", func(ctx SpecContext) {
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
		}, controller.Options{EveryProcess: true})).Error().To(Succeed())
		Expect(m.Add("every", func(ctx context.Context) error {
			_, err := m.Store().Create(ctx, newSite("a", 1))
			return err
		}, controller.RunnableOptions{EveryProcess: true})).To(Succeed())
		var led names
		Expect(controller.NewFor[*Site](m, "led", &led, controller.Options{})).Error().To(Succeed())
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

	It("calls a runnable in each term, and fails if it fails within the term", func(ctx SpecContext) {
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
		}, controller.RunnableOptions{})).To(Succeed())
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
		}, controller.Options{})).Error().To(Succeed())
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

	It("leaves no goroutine behind after a term", func(ctx SpecContext) {
		c := newContest(ctx, etcd, patient)
		x := c.enter(0)
		Eventually(x.leads).Should(BeTrue())
		x.stop()
		Expect(goroutinesIn("/pkg/controller.", "/pkg/informer.", "client/v3.(*lessor)")).To(BeEmpty())
	}, SpecTimeout(time.Minute))
})
