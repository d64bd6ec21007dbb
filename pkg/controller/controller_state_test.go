package controller_test

import (
	"context"
	"errors"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/controller"
)

var _ = Describe("The state of a controller", func() {
	It("shows of each key what it waits for, since when, what failed and what comes next", func(ctx SpecContext) {
		clock := clocktesting.NewFakeClock(time.Now())
		begin := clock.Now()
		m := newManager(controller.ManagerOptions{Clock: clock})
		type ending struct {
			after time.Duration
			err   error
		}
		endings := make(chan ending)
		c, err := controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(ctx context.Context, _ controller.Request) (controller.Result, error) {
				select {
				case end := <-endings:
					return controller.Result{RequeueAfter: end.after}, end.err
				case <-ctx.Done():
					return controller.Result{}, ctx.Err()
				}
			}), controller.Options{BackoffBase: time.Minute, Workers: 3})
		Expect(err).NotTo(HaveOccurred())
		site := newSite("a", 1)
		key := request(site)
		Expect(c.KeyState(key)).To(Equal(controller.KeyState[controller.Request]{Key: key, Phase: controller.KeyIdle}))
		Expect(c.State()).To(Equal(controller.ControllerState{Workers: 3}))
		Expect(c.KeyStates(10)).To(BeEmpty())
		phase := func() controller.KeyPhase { return c.KeyState(key).Phase }
		create(ctx, m.Store(), site)
		stop := run(m)

		Eventually(phase).Should(Equal(controller.KeyReconciling))
		s := c.KeyState(key)
		Expect(s.Causes).To(HaveExactElements(HaveField("Type", controller.CauseInitial)))
		Expect(s.TotalCauses).To(Equal(1))
		Expect(s.HighPriority).To(BeFalse())
		clock.Step(time.Second)
		Expect(c.State()).To(Equal(controller.ControllerState{Running: true, Workers: 3, Reconciling: 1,
			LongestReconcile: time.Second, TotalReconcile: time.Second}))

		endings <- ending{err: errors.New("no such luck")}
		Eventually(phase).Should(Equal(controller.KeyInBackoff))
		s = c.KeyState(key)
		Expect(s.Failures).To(Equal(1))
		Expect(s.LastError).To(Equal("no such luck"))
		Expect(s.Next).To(Equal(begin.Add(time.Second + time.Minute)))
		Expect(c.State().InBackoff).To(Equal(1))

		clock.Step(time.Minute)
		endings <- ending{after: time.Hour}
		Eventually(phase).Should(Equal(controller.KeyWaitingForTime))
		Expect(c.KeyState(key).Failures).To(BeZero())
		Expect(c.KeyStates(10)).To(HaveExactElements(HaveField("Key", key)))

		Expect(c.RequeueAfter(key, 2*time.Hour)).To(Succeed())
		clock.Step(time.Hour)
		Consistently(phase, "50ms").Should(Equal(controller.KeyWaitingForTime))
		clock.Step(time.Hour)
		endings <- ending{err: controller.TerminalError(errors.New("never"))}
		Eventually(phase).Should(Equal(controller.KeyFailed))
		Expect(c.KeyState(key).LastError).To(ContainSubstring("never"))
		Expect(metric(m, "homeostat_failed_keys", "c")()).To(Equal(1.0))

		Expect(c.Requeue(key)).To(Succeed())
		endings <- ending{}
		Eventually(phase).Should(Equal(controller.KeyIdle))
		Expect(c.KeyStates(10)).To(BeEmpty())
		stop()
		Expect(c.Requeue(key)).To(MatchError(ContainSubstring("does not run in this process")))
	}, SpecTimeout(time.Minute))
})
