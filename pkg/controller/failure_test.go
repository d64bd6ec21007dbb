package controller_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/homeostat/homeostat/pkg/controller"
)

// wildError panics in each method if it is nil.
type wildError struct{ inner error }

func (e *wildError) Error() string { return e.inner.Error() }
func (e *wildError) Unwrap() error { return e.inner }

var _ = Describe("A reconcile", func() {
	var (
		m   *controller.Manager
		log *logbook
	)

	BeforeEach(func() {
		log = new(logbook)
		m = newManager(controller.ManagerOptions{Log: log.logger()})
	})

	It("fails, and does not crash the process, when its error is a nil pointer", func(ctx SpecContext) {
		var calls journal[string]
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(_ context.Context, r controller.Request) (controller.Result, error) {
				calls.note(r.Name)
				if calls.len() == 1 {
					var err *wildError
					return controller.Result{}, err
				}
				return controller.Result{}, nil
			}), controller.Options{})).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(calls.all).Should(Equal([]string{"a", "a"}))
		Expect(log.with("reconciler panicked")).To(HaveLen(1))
	}, SpecTimeout(time.Minute))

	It("fails when it panics, and its stack is logged", func(ctx SpecContext) {
		var calls journal[string]
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(_ context.Context, r controller.Request) (controller.Result, error) {
				calls.note(r.Name)
				if calls.len() == 1 {
					var nothing *Site
					nothing.Name = "oops"
				}
				return controller.Result{}, nil
			}), controller.Options{})).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(calls.all).Should(Equal([]string{"a", "a"}))
		Expect(log.with("reconciler panicked")).To(ConsistOf(And(
			ContainSubstring("nil pointer"), ContainSubstring("failure_test.go"), ContainSubstring(`"name"="a"`))))
	}, SpecTimeout(time.Minute))

	It("is cancelled when it takes too long, and the log says so", func(ctx SpecContext) {
		var calls journal[error]
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(ctx context.Context, _ controller.Request) (controller.Result, error) {
				if calls.len() > 0 {
					calls.note(nil)
					return controller.Result{}, nil
				}
				<-ctx.Done()
				calls.note(ctx.Err())
				return controller.Result{}, ctx.Err()
			}), controller.Options{Timeout: 20 * time.Millisecond})).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(calls.all).Should(Equal([]error{context.DeadlineExceeded, nil}))
		Expect(log.with("longer than 20ms")).To(HaveLen(1))
	}, SpecTimeout(time.Minute))
})
