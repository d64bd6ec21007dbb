package controller_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/labels"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
)

var _ = Describe("A source that is filtered or debounced", func() {
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

	It("reports objects that enter and leave all of its filters", func(ctx SpecContext) {
		Expect(controller.NewFor[*Site](m, "c", reconcile, controller.Options{},
			controller.For(large, even))).Error().To(Succeed())
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

	It("reports a burst of changes of one object once, when debounced", func(ctx SpecContext) {
		clock := clocktesting.NewFakeClock(time.Now())
		m = newManager(controller.ManagerOptions{Clock: clock})
		Expect(controller.NewFor[*Site](m, "c", reconcile, controller.Options{},
			controller.Debounced(informer.Debounce{Quiet: time.Second}, controller.For[*Site]()))).Error().To(Succeed())
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

	It("reports only changes that pass all of its filters", func(ctx SpecContext) {
		blue := informer.LabelSelector[*Site](labels.SelectorFromSet(labels.Set{"color": "blue"}))
		var calls names
		Expect(controller.NewFor[*Site](m, "c", &calls, controller.Options{},
			controller.For(informer.GenerationChanged[*Site](), informer.Not(blue)))).Error().To(Succeed())
		run(m)
		site, dull := newSite("a", 1), newSite("dull", 1)
		dull.Labels = map[string]string{"color": "blue"}
		create(ctx, m.Store(), dull, site)
		Eventually(calls.all).Should(Equal([]string{"a"}))
		site.Status.Ready = 1
		Expect(m.Store().UpdateStatus(ctx, site)).Error().NotTo(HaveOccurred())
		site.Spec.Replicas = 2
		Expect(m.Store().Update(ctx, site)).Error().NotTo(HaveOccurred())
		create(ctx, m.Store(), newSite("last", 1))
		Eventually(calls.all).Should(Equal([]string{"a", "a", "last"}))
	}, SpecTimeout(time.Minute))

	It("reports another object of the same name as a change of everything", func(ctx SpecContext) {
		var calls names
		Expect(controller.NewFor[*Site](m, "c", &calls, controller.Options{},
			controller.For(informer.GenerationChanged[*Site](), informer.LabelsChanged[*Site](), informer.AnnotationsChanged[*Site]()))).Error().To(Succeed())
		run(m)
		site := newSite("a", 1)
		create(ctx, m.Store(), site)
		Eventually(calls.len).Should(Equal(1))
		// As a replica sees it that was cut off when one went and another came.
		site.UID, site.ResourceVersion = "another", ""
		value, err := json.Marshal(site)
		Expect(err).NotTo(HaveOccurred())
		Expect(etcd.Client().Put(ctx, m.Store().Prefix()+"example.com/sites/default/a", string(value))).Error().NotTo(HaveOccurred())
		Eventually(calls.len).Should(BeNumerically(">", 1))
	}, SpecTimeout(time.Minute))

	DescribeTable("cannot be debounced if it does not react to changes", func(s controller.Source[controller.Request], complaint string) {
		Expect(controller.NewFor[*Site](m, "c", reconcile, controller.Options{}, s)).Error().To(MatchError(ContainSubstring(complaint)))
	},
		Entry("a channel", controller.Debounced(informer.Debounce{}, controller.FromChannel(make(chan controller.Request))), "does not react to changes"),
		Entry("a timer", controller.Debounced(informer.Debounce{}, controller.Resync[*Site](time.Hour)), "does not react to changes"),
		Entry("a negative time", controller.Debounced(informer.Debounce{Quiet: -1}, controller.For[*Site]()), "quiet is -1ns"),
		Entry("nothing", controller.Debounced(informer.Debounce{}, controller.Source[controller.Request]{}), "source is empty"),
	)
})
