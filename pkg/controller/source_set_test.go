package controller_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("AddSource", func() {
	var (
		m     *controller.Manager
		c     *controller.Controller[controller.Request]
		calls *names
	)
	handlers := func() int { return len(goroutinesIn("/pkg/informer.(*handlerQueue).run")) }
	sameName := func(_ context.Context, e informer.Event[*corev1.ConfigMap]) []controller.Request {
		return []controller.Request{request(e.Object)}
	}

	BeforeEach(func() {
		m, calls = newManager(controller.ManagerOptions{}), new(names)
		var err error
		c, err = controller.NewFor[*Site](m, "c", calls, controller.Options{})
		Expect(err).NotTo(HaveOccurred())
	})

	It("adds a source of a new kind to a running controller, and removes it with its handler", func(ctx SpecContext) {
		create(ctx, m.Store(), newConfigMap("old"), newSite("s1", 1))
		run(m)
		Eventually(calls.all).Should(Equal([]string{"s1"}))
		Expect(handlers()).To(Equal(1))

		remove, err := c.AddSource(controller.WatchesEvents(sameName))
		Expect(err).NotTo(HaveOccurred())
		Eventually(calls.all).Should(Equal([]string{"s1", "old"}))
		create(ctx, m.Store(), newConfigMap("new"))
		Eventually(calls.all).Should(Equal([]string{"s1", "old", "new"}))
		Expect(handlers()).To(Equal(2))

		remove()
		Eventually(handlers).Should(Equal(1))
		create(ctx, m.Store(), newConfigMap("unseen"), newSite("s2", 1))
		Eventually(calls.all).Should(Equal([]string{"s1", "old", "new", "s2"}))
		remove()

		_, err = c.AddSource(controller.WatchesEvents(sameName))
		Expect(err).NotTo(HaveOccurred())
		Eventually(calls.all).Should(ConsistOf("s1", "old", "new", "s2", "old", "new", "unseen"))
	}, SpecTimeout(time.Minute))

	It("adds and removes sources before the manager runs", func(ctx SpecContext) {
		create(ctx, m.Store(), newConfigMap("map"), newSite("site", 1))
		_, err := c.AddSource(controller.WatchesEvents(sameName))
		Expect(err).NotTo(HaveOccurred())
		remove, err := c.AddSource(controller.WatchesEvents(
			func(context.Context, informer.Event[*corev1.ConfigMap]) []controller.Request {
				return []controller.Request{{Key: store.Key{Name: "removed"}}}
			}))
		Expect(err).NotTo(HaveOccurred())
		remove()
		run(m)
		Eventually(calls.all).Should(ConsistOf("map", "site"))
		Expect(handlers()).To(Equal(2))
	}, SpecTimeout(time.Minute))

	It("returns a remove that waits for the source's function, which is not called again", func(ctx SpecContext) {
		entered, leave := make(chan struct{}), make(chan struct{})
		var returned, more atomic.Bool
		remove, err := c.AddSource(controller.WatchesEvents(
			func(ctx context.Context, e informer.Event[*corev1.ConfigMap]) []controller.Request {
				more.Store(returned.Load())
				if e.Object.Name == "first" {
					close(entered)
					<-leave
					returned.Store(true)
				}
				return nil
			}))
		Expect(err).NotTo(HaveOccurred())
		run(m)
		create(ctx, m.Store(), newConfigMap("first"), newConfigMap("second"))
		Eventually(entered).Should(BeClosed())
		time.AfterFunc(50*time.Millisecond, func() { close(leave) })
		remove()
		Expect(returned.Load()).To(BeTrue())
		create(ctx, m.Store(), newSite("s", 1))
		Eventually(calls.all).Should(Equal([]string{"s"}))
		Expect(more.Load()).To(BeFalse())
	}, SpecTimeout(time.Minute))

	It("leaves no handler behind when sources come and go while the manager starts and stops", func(ctx SpecContext) {
		for range 10 {
			m := newManager(controller.ManagerOptions{})
			Expect(controller.NewFor[*Site](m, "c", calls, controller.Options{})).Error().To(Succeed())
			create(ctx, m.Store(), newConfigMap("map"))
			managerCtx, stop := context.WithCancel(ctx)
			var users sync.WaitGroup
			for i := range 8 {
				users.Go(func() {
					defer GinkgoRecover()
					for range 20 {
						remove, err := c.AddSource(controller.WatchesEvents(sameName))
						Expect(err).NotTo(HaveOccurred())
						if i%2 == 0 {
							remove()
						}
					}
				})
			}
			users.Go(func() {
				defer GinkgoRecover()
				Expect(m.Run(managerCtx)).To(Succeed())
			})
			users.Go(stop)
			users.Wait()
			Expect(goroutinesIn("/util/workqueue.", "/pkg/controller.(*", "/pkg/informer.")).To(BeEmpty())
		}
	}, SpecTimeout(time.Minute))

	It("refuses a source that cannot work", func() {
		Expect(c.AddSource(controller.Source[controller.Request]{})).Error().To(MatchError(ContainSubstring("source is empty")))
		Expect(c.AddSource(controller.For[*corev1.ConfigMap]())).Error().To(MatchError(ContainSubstring("one for Site")))
	})
})

var _ = Describe("RequeueAfter", func() {
	It("changes a key's time to an earlier or later one", func(ctx SpecContext) {
		m, calls := newManager(controller.ManagerOptions{}), new(journal[string])
		c, err := controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(ctx context.Context, r controller.Request) (controller.Result, error) {
				causes, _ := controller.Causes(ctx)
				calls.note(fmt.Sprint(r.Name, " ", causes[0].Type))
				return controller.Result{RequeueAfter: time.Hour}, nil
			}), controller.Options{})
		Expect(err).NotTo(HaveOccurred())
		a := request(newSite("a", 1))
		Expect(c.RequeueAfter(a, 0)).To(MatchError(ContainSubstring("does not run in this process")))
		create(ctx, m.Store(), newSite("a", 1))
		stop := run(m)
		Eventually(calls.all).Should(Equal([]string{"a initial"}))
		Expect(c.RequeueAfter(a, 0)).To(Succeed())
		Eventually(calls.all).Should(Equal([]string{"a initial", "a requeue after"}))
		Expect(c.RequeueAfter(a, 2*time.Hour)).To(Succeed())
		Eventually(func() int {
			Expect(c.RequeueAfter(a, time.Millisecond)).To(Succeed())
			return calls.len()
		}).Should(BeNumerically(">=", 3))
		stop()
		Expect(c.RequeueAfter(a, 0)).To(MatchError(ContainSubstring("does not run in this process")))
	}, SpecTimeout(time.Minute))
})
