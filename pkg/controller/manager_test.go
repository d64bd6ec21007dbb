package controller_test

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A manager", func() {
	nothing := func(context.Context) error { return nil }
	untilDone := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

	It("needs a store", func() {
		_, err := controller.NewManager(nil, controller.ManagerOptions{})
		Expect(err).To(MatchError(ContainSubstring("store is nil")))
	})

	It("returns when it is cancelled before it has begun", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		Expect(controller.NewFor[*Site](m, "c", new(names), controller.Options{})).Error().To(Succeed())
		done, cancel := context.WithCancel(ctx)
		cancel()
		Expect(m.Run(done)).To(Succeed())
	}, SpecTimeout(time.Minute))

	for how, fault := range map[string]func(*etcdtest.Link){
		"refuses connections": (*etcdtest.Link).Cut,
		"does not answer":     (*etcdtest.Link).Freeze,
	} {
		It("returns when it is cancelled before it has synced, with an etcd that "+how, func(ctx SpecContext) {
			link, err := etcd.Member(0).NewLink()
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(link.Close)
			client, err := etcd.NewClient(etcdtest.ClientOptions{Endpoints: []string{link.Endpoint()}})
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(client.Close)
			fault(link)

			m := newManagerOn(newStore(client), controller.ManagerOptions{})
			var calls names
			Expect(controller.NewFor[*Site](m, "c", &calls, controller.Options{})).Error().To(Succeed())
			running, cancel := context.WithCancel(ctx)
			ended := make(chan error)
			go func() { ended <- m.Run(running) }()
			Eventually(func() []string { return goroutinesIn("/pkg/informer.(*Replica).Run") }).ShouldNot(BeEmpty())
			cancel()
			Eventually(ended).Should(Receive(BeNil()))
			Expect(goroutinesIn("/pkg/controller.", "/pkg/informer.")).To(BeEmpty())
			Expect(calls.all()).To(BeEmpty())
		}, SpecTimeout(time.Minute))
	}

	It("stops everything when a runnable fails, and returns the first error", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		cause := errors.New("first")
		stopped := make(chan struct{})
		Expect(m.Add("fails", func(context.Context) error { return cause }, controller.RunnableOptions{})).To(Succeed())
		Expect(m.Add("follows", func(ctx context.Context) error {
			<-ctx.Done()
			close(stopped)
			return errors.New("second")
		}, controller.RunnableOptions{})).To(Succeed())
		Expect(controller.NewFor[*Site](m, "c", new(names), controller.Options{})).Error().To(Succeed())
		err := m.Run(ctx)
		Expect(err).To(MatchError(cause))
		Expect(err).To(MatchError(And(ContainSubstring(`"fails"`), Not(ContainSubstring("second")))))
		Expect(stopped).To(BeClosed())
	}, SpecTimeout(time.Minute))

	It("stops everything when a runnable panics", func(ctx SpecContext) {
		var log logbook
		m := newManager(controller.ManagerOptions{Log: log.logger()})
		Expect(m.Add("panics", func(context.Context) error { panic("oh no") }, controller.RunnableOptions{})).To(Succeed())
		Expect(m.Run(ctx)).To(MatchError(ContainSubstring("oh no")))
		Expect(log.with("oh no")).To(ConsistOf(ContainSubstring("manager_test.go")))
	}, SpecTimeout(time.Minute))

	It("continues when a runnable ends, and ignores errors of runnables that it stops", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		ended := make(chan struct{})
		Expect(m.Add("short", func(context.Context) error { close(ended); return nil }, controller.RunnableOptions{})).To(Succeed())
		Expect(m.Add("long", untilDone, controller.RunnableOptions{})).To(Succeed())
		var calls names
		Expect(controller.NewFor[*Site](m, "c", &calls, controller.Options{})).Error().To(Succeed())
		run(m)
		Eventually(ended).Should(BeClosed())
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(calls.all).Should(Equal([]string{"a"}))
	}, SpecTimeout(time.Minute))

	It("continues when all of its runnables have ended", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		Expect(m.Add("short", nothing, controller.RunnableOptions{})).To(Succeed())
		running, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- m.Run(running) }()
		Eventually(func() []string { return goroutinesIn("/pkg/informer.(*Replica).Run") }).ShouldNot(BeEmpty())
		Consistently(ended).ShouldNot(Receive())
		cancel()
		Eventually(ended).Should(Receive(BeNil()))
	}, SpecTimeout(time.Minute))

	It("stops a runnable with StopLast when all others have ended", func(ctx SpecContext) {
		for _, leadership := range []*controller.Leadership{nil, {Name: "spec"}} {
			m := newManager(controller.ManagerOptions{Leadership: leadership, GracePeriod: 100 * time.Millisecond})
			handed := make(chan string) // taken by the last runnable alone
			hand := func(ctx context.Context, what string) error {
				<-ctx.Done()
				handed <- what
				return nil
			}
			begun := make(chan struct{})
			Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](func(ctx context.Context, _ controller.Request) (controller.Result, error) {
				close(begun)
				return controller.Result{}, hand(ctx, "reconcile")
			}), controller.Options{})).Error().To(Succeed())
			Expect(m.Add("led", func(ctx context.Context) error { return hand(ctx, "led") }, controller.RunnableOptions{})).To(Succeed())
			Expect(m.Add("everywhere", func(ctx context.Context) error { return hand(ctx, "everywhere") },
				controller.RunnableOptions{EveryProcess: true})).To(Succeed())
			var taken journal[string]
			Expect(m.Add("last", func(ctx context.Context) error {
				for {
					select {
					case what := <-handed:
						taken.note(what)
					case <-ctx.Done():
						create(context.WithoutCancel(ctx), m.Store(), newConfigMap("last")) // by no term
						return nil
					}
				}
			}, controller.RunnableOptions{StopLast: true})).To(Succeed())
			s := newStoreAt(etcd.Client(), m.Store().Prefix())
			create(ctx, s, newSite("a", 1))
			stop := run(m)
			Eventually(begun).Should(BeClosed())
			stop()
			Expect(taken.all()).To(ConsistOf("reconcile", "led", "everywhere"))
			Expect(store.Get[*corev1.ConfigMap](ctx, s, store.KeyOf(newConfigMap("last")))).Error().NotTo(HaveOccurred())
		}
	}, SpecTimeout(time.Minute))

	It("stops when a runnable with StopLast fails", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		cause := errors.New("no")
		Expect(m.Add("last", func(context.Context) error { return cause }, controller.RunnableOptions{StopLast: true})).To(Succeed())
		Expect(controller.NewFor[*Site](m, "c", new(names), controller.Options{})).Error().To(Succeed())
		Expect(m.Run(ctx)).To(MatchError(cause))
	}, SpecTimeout(time.Minute))

	It("runs once, and accepts no more controllers and runnables then", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		stop := run(m)
		Eventually(func() error { return m.Add("late", nothing, controller.RunnableOptions{}) }).Should(MatchError(ContainSubstring("runs already")))
		Expect(controller.NewFor[*Site](m, "c", new(names), controller.Options{})).Error().To(MatchError(ContainSubstring("runs already")))
		Expect(m.Run(ctx)).To(MatchError(ContainSubstring("called before")))
		stop()
		Expect(m.Run(ctx)).To(MatchError(ContainSubstring("called before")))
	}, SpecTimeout(time.Minute))

	It("fails at once when its replica runs already", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		Expect(controller.NewFor[*Site](m, "c", new(names), controller.Options{})).Error().To(Succeed())
		running, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { defer close(ended); _ = m.Replica().Run(running) }()
		DeferCleanup(func() { cancel(); <-ended })
		Expect(m.Replica().WaitForSync(ctx)).To(Succeed())
		Expect(m.Run(ctx)).To(MatchError(ContainSubstring("while the replica runs")))
	}, SpecTimeout(time.Minute))

	It("refuses names that are taken, and runnables without a name or function", func() {
		m := newManager(controller.ManagerOptions{})
		Expect(controller.NewFor[*Site](m, "c", new(names), controller.Options{})).Error().To(Succeed())
		Expect(m.Add("r", nothing, controller.RunnableOptions{})).To(Succeed())
		for _, name := range []string{"c", "r"} {
			Expect(controller.NewFor[*Site](m, name, new(names), controller.Options{})).Error().To(MatchError(ContainSubstring("of that name")))
			Expect(m.Add(name, nothing, controller.RunnableOptions{})).To(MatchError(ContainSubstring("of that name")))
		}
		Expect(m.Add("", nothing, controller.RunnableOptions{})).To(MatchError(ContainSubstring("name is missing")))
		Expect(m.Add("nil", nil, controller.RunnableOptions{})).To(MatchError(ContainSubstring("function is nil")))
	})

	It("stops when an added replica fails, and refuses replicas that it cannot run", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		Expect(m.AddReplica("", m.Replica())).To(MatchError(ContainSubstring("name is missing")))
		Expect(m.AddReplica("r", nil)).To(MatchError(ContainSubstring("it is nil")))
		Expect(m.AddReplica("r", m.Replica())).To(MatchError(ContainSubstring("manager's own")))

		busy := informer.NewReplica(m.Store(), informer.Options{})
		running, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { defer close(ended); _ = busy.Run(running) }()
		DeferCleanup(func() { cancel(); <-ended })
		Eventually(func() []string { return goroutinesIn("/pkg/informer.(*reflector)") }).ShouldNot(BeEmpty())
		Expect(m.AddReplica("busy", busy)).To(Succeed())
		Expect(m.Run(ctx)).To(MatchError(And(ContainSubstring(`replica "busy"`), ContainSubstring("while the replica runs"))))
	}, SpecTimeout(time.Minute))

	It("starts from the last process's checkpoint, and reconciles everything", func(ctx SpecContext) {
		s := newStore(etcd.Client())
		create(ctx, s, newSite("a", 1), newSite("b", 1))
		options := controller.ManagerOptions{Checkpoint: informer.Checkpoint{Path: filepath.Join(GinkgoT().TempDir(), "checkpoint")}}
		for _, start := range []string{"there was none", "begun at revision"} {
			m := newManagerOn(s, options)
			var calls names
			Expect(controller.NewFor[*Site](m, "c", &calls, controller.Options{})).Error().To(Succeed())
			stop := run(m)
			Eventually(calls.all).Should(ConsistOf("a", "b"))
			Expect(m.Replica().Status().Checkpoint.Start).To(ContainSubstring(start))
			stop()
		}
	}, SpecTimeout(time.Minute))

	It("is independent of another manager in the process", func(ctx SpecContext) {
		s := newStore(etcd.Client())
		var calls [2]names
		for i := range calls {
			m := newManagerOn(s, controller.ManagerOptions{})
			Expect(controller.NewFor[*Site](m, "same", &calls[i], controller.Options{})).Error().To(Succeed())
			run(m)
		}
		create(ctx, s, newSite("a", 1))
		for i := range calls {
			Eventually(calls[i].all).Should(Equal([]string{"a"}))
		}
	}, SpecTimeout(time.Minute))
})
