package controller_test

import (
	"context"
	"errors"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/controller"
)

var _ = Describe("A key comes back", func() {
	var (
		m     *controller.Manager
		clock *hastyClock
		log   *logbook
	)
	failure := errors.New("no such luck")
	race := apierrors.NewConflict(schema.GroupResource{Resource: "sites"}, "a", failure)

	BeforeEach(func() {
		clock, log = new(hastyClock), new(logbook)
		m = newManager(controller.ManagerOptions{Clock: clock, Log: log.logger()})
	})

	// script makes the reconciles of the site "a" end in these ways, one after
	// another; later ones succeed.
	type ending struct {
		after time.Duration
		err   error
	}
	script := func(ctx context.Context, o controller.Options, endings ...ending) (calls *journal[int]) {
		calls = new(journal[int])
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(context.Context, controller.Request) (controller.Result, error) {
				n := calls.len()
				calls.note(n)
				if n >= len(endings) {
					return controller.Result{}, nil
				}
				return controller.Result{RequeueAfter: endings[n].after}, endings[n].err
			}), o)).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		return calls
	}
	minutes := controller.Options{BackoffBase: time.Minute, BackoffMax: 10 * time.Minute}

	It("after the time that its result asks for", func(ctx SpecContext) {
		calls := script(ctx, minutes, ending{after: time.Hour}, ending{after: 2 * time.Hour})
		Eventually(calls.len).Should(Equal(3))
		Expect(clock.pauses.all()).To(Equal([]time.Duration{time.Hour, 2 * time.Hour}))
	}, SpecTimeout(time.Minute))

	It("after a backoff, if its result asks for a time that has passed", func(ctx SpecContext) {
		calls := script(ctx, minutes, ending{after: -1}, ending{after: -time.Second}, ending{after: -1, err: failure})
		Eventually(calls.len).Should(Equal(4))
		Expect(clock.pauses.all()).To(Equal([]time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute}))
		Expect(log.with("RequeueAfter is -1s: it must not be negative")).To(HaveLen(1))
	}, SpecTimeout(time.Minute))

	It("after a backoff that doubles up to its maximum, and starts over after a success", func(ctx SpecContext) {
		fail := ending{err: failure}
		calls := script(ctx, minutes, fail, fail, fail, fail, fail, fail, ending{after: time.Hour}, fail)
		Eventually(calls.len).Should(Equal(9))
		Expect(clock.pauses.all()).To(Equal([]time.Duration{
			time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute,
			time.Hour, time.Minute,
		}))
		Expect(log.with("reconcile failed")).To(HaveLen(7))
	}, SpecTimeout(time.Minute))

	It("after the time that its result asks for, instead of the backoff, if it also failed", func(ctx SpecContext) {
		calls := script(ctx, minutes, ending{err: failure}, ending{after: time.Hour, err: failure}, ending{err: failure})
		Eventually(calls.len).Should(Equal(4))
		Expect(clock.pauses.all()).To(Equal([]time.Duration{time.Minute, time.Hour, 2 * time.Minute}))
	}, SpecTimeout(time.Minute))

	It("after a backoff when it lost a race, which is no failure, whatever its result asks for", func(ctx SpecContext) {
		calls := script(ctx, minutes, ending{err: race}, ending{after: time.Hour, err: race})
		Eventually(calls.len).Should(Equal(3))
		Expect(clock.pauses.all()).To(Equal([]time.Duration{time.Minute, 2 * time.Minute}))
		Expect(log.with("failed")).To(BeEmpty())
		Expect(log.with("lost a race")).To(HaveLen(2))
	}, SpecTimeout(time.Minute))

	It("after a backoff, with a report, when it always loses the race", func(ctx SpecContext) {
		var endings []ending
		for range 11 {
			endings = append(endings, ending{err: race})
		}
		calls := script(ctx, minutes, endings...)
		Eventually(calls.len).Should(Equal(12))
		Expect(log.with("again and again")).To(HaveLen(1))
	}, SpecTimeout(time.Minute))

	It("not at all after a terminal error, until something changes", func(ctx SpecContext) {
		calls := script(ctx, minutes, ending{after: time.Hour, err: controller.TerminalError(failure)})
		Eventually(calls.len).Should(Equal(1))
		Eventually(func() []string { return log.with("for good") }).Should(HaveLen(1))
		site := newSite("a", 2)
		Expect(m.Store().Update(ctx, site)).Error().NotTo(HaveOccurred())
		Eventually(calls.len).Should(Equal(2))
		Expect(clock.pauses.all()).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("never for TerminalError, which wraps an error and returns nil for nil", func() {
		Expect(errors.Is(controller.TerminalError(failure), failure)).To(BeTrue())
		Expect(controller.TerminalError(nil)).To(BeNil())
	})
})
