package controller_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
)

var _ = Describe("A source that is told less", func() {
	var (
		m   *controller.Manager
		why *whys
	)
	reconcile := controller.ReconcilerFunc[controller.Request](func(ctx context.Context, _ controller.Request) (controller.Result, error) {
		why.note(ctx)
		return controller.Result{}, nil
	})
	large := informer.Where(func(s *Site) bool { return s.Spec.Replicas > 10 })
	even := informer.Where(func(s *Site) bool { return s.Spec.Replicas%2 == 0 })

	BeforeEach(func() {
		m, why = newManager(controller.ManagerOptions{}), new(whys)
	})

	It("by filters, sees objects come and go as they do", func(ctx SpecContext) {
		Expect(controller.NewFor[*Site](m, "c", reconcile, controller.Options{},
			controller.Filtered(controller.Filtered(controller.For[*Site](), large), even))).Error().To(Succeed())
		site := newSite("a", 12)
		create(ctx, m.Store(), newSite("small", 2), newSite("odd", 13), site)
		born := site.ResourceVersion
		run(m)
		Eventually(why.all).Should(Equal([]string{"1 [initial Site default/a at " + born + "]"}))
		for i, replicas := range []int32{14, 3, 5, 16} {
			site.Spec.Replicas = replicas
			Expect(m.Store().Update(ctx, site)).Error().NotTo(HaveOccurred())
			if replicas == 5 {
				continue // not seen
			}
			what := map[int]string{0: "modified", 1: "deleted", 3: "added"}[i]
			Eventually(why.all).Should(ContainElement("1 [" + what + " Site default/a at " + site.ResourceVersion + "]"))
		}
		Expect(why.len()).To(Equal(4))
	}, SpecTimeout(time.Minute))

	It("in batches, sees the changes of an object as one", func(ctx SpecContext) {
		clock := clocktesting.NewFakeClock(time.Now())
		m = newManager(controller.ManagerOptions{Clock: clock})
		Expect(controller.NewFor[*Site](m, "c", reconcile, controller.Options{},
			controller.Batched(informer.Debounce{Quiet: time.Second}, controller.For[*Site]()))).Error().To(Succeed())
		site := newSite("a", 0)
		create(ctx, m.Store(), site)
		run(m)
		Eventually(why.len).Should(Equal(1))
		var last int64
		for range 5 {
			site.Spec.Replicas++
			var err error
			last, err = m.Store().Update(ctx, site)
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(m.Replica().WaitForRevision(ctx, last)).To(Succeed())
		Expect(why.len()).To(Equal(1))
		Eventually(func() []string { clock.Step(time.Second); return why.all()[1:] }).Should(
			Equal([]string{fmt.Sprintf("1 [modified Site default/a at %d]", last)}))
	}, SpecTimeout(time.Minute))

	DescribeTable("is refused where it cannot work", func(s controller.Source[controller.Request], complaint string) {
		Expect(controller.NewFor[*Site](m, "c", reconcile, controller.Options{}, s)).Error().To(MatchError(ContainSubstring(complaint)))
	},
		Entry("filters for another type", controller.Filtered(controller.Owns[*corev1.Pod](), large), "a source that watches *v1.Pod"),
		Entry("filters for a channel", controller.Filtered(controller.FromChannel(make(chan controller.Request)), large), "watches no objects"),
		Entry("a window for a timer", controller.Batched(informer.Debounce{}, controller.Resync[*Site](time.Hour)), "watches no objects"),
		Entry("nothing", controller.Batched(informer.Debounce{}, controller.Source[controller.Request]{}), "source is empty"),
	)
})
