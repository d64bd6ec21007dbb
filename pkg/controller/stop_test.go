package controller_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A manager whose context is cancelled", func() {
	It("lets a running reconcile finish and write, and starts no other", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{GracePeriod: time.Minute})
		var begun journal[string]
		leave := make(chan struct{})
		Expect(controller.New(m, "c", func(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			begun.note(site.Name)
			<-leave
			site.Status.Ready = 1
			tx.UpdateStatus(site)
			return controller.Result{RequeueAfter: time.Nanosecond}, ctx.Err()
		}, controller.Options{})).Error().To(Succeed())
		managerCtx, cancel := context.WithCancel(ctx)
		ended := make(chan error)
		go func() { ended <- m.Run(managerCtx) }()
		create(ctx, m.Store(), newSite("a", 1), newSite("b", 1))
		Eventually(begun.len).Should(Equal(1))
		cancel()
		create(ctx, m.Store(), newSite("c", 1))
		close(leave)
		Eventually(ended).Should(Receive(BeNil()))
		Expect(begun.len()).To(Equal(1))
		site, err := store.Get[*Site](ctx, m.Store(), store.Key{Namespace: "default", Name: begun.all()[0]})
		Expect(err).NotTo(HaveOccurred())
		Expect(site.Status.Ready).To(Equal(int32(1)))
	}, SpecTimeout(time.Minute))

	It("cancels reconciles that still run after the grace period", func(ctx SpecContext) {
		var log logbook
		clock := new(hastyClock) // the grace period passes at once
		m := newManager(controller.ManagerOptions{GracePeriod: time.Hour, Clock: clock, Log: log.logger()})
		begun := make(chan struct{})
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(ctx context.Context, _ controller.Request) (controller.Result, error) {
				close(begun)
				<-ctx.Done()
				return controller.Result{}, ctx.Err()
			}), controller.Options{})).Error().To(Succeed())
		stop := run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(begun).Should(BeClosed())
		Expect(clock.pauses.all()).To(BeEmpty())
		stop()
		Expect(clock.pauses.all()).To(Equal([]time.Duration{time.Hour}))
		Expect(log.with("failed")).To(BeEmpty())
		Expect(metric(m, "controller_runtime_reconcile_errors_total", "c")()).To(BeZero())
		Expect(metric(m, "controller_runtime_reconcile_total", "c", "stopped")()).To(Equal(1.0))
	}, SpecTimeout(time.Minute))

	It("leaves no goroutine behind when Run returns, even for keys that wait for their time", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		var calls journal[string]
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(_ context.Context, r controller.Request) (controller.Result, error) {
				calls.note(r.Name)
				if r.Name == "b" {
					return controller.Result{}, errors.New("no such luck")
				}
				return controller.Result{RequeueAfter: time.Hour}, nil
			}), controller.Options{Workers: 4, BackoffBase: time.Hour, BackoffMax: time.Hour},
			controller.FromChannel(make(chan controller.Request)), controller.Resync[*Site](time.Hour),
			controller.Every(time.Hour, func(context.Context) []controller.Request { return nil }))).Error().To(Succeed())
		stop := run(m)
		create(ctx, m.Store(), newSite("a", 1), newSite("b", 1))
		Eventually(calls.len).Should(Equal(2))
		stop()
		Expect(goroutinesIn("/util/workqueue.", "/pkg/controller.", "/pkg/informer.")).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("may be cancelled twice", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		Expect(controller.NewFor[*Site](m, "c", new(names), controller.Options{})).Error().To(Succeed())
		stop := run(m)
		stop()
		Expect(stop).NotTo(Panic())
	}, SpecTimeout(time.Minute))
})

// goroutinesIn returns the goroutines that run in one of the packages. It ignores those
// of etcd's client, which ends its watches in the background.
func goroutinesIn(packages ...string) []string {
	var found []string
	for g := range strings.SplitSeq(allStacks(), "\n\n") {
		if strings.Contains(g, "client/v3.(*watchGRPCStream)") {
			continue
		}
		for _, p := range packages {
			if strings.Contains(g, p) {
				found = append(found, g)
				break
			}
		}
	}
	return found
}

func allStacks() string {
	for size := 1 << 20; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size {
			return string(buf[:n])
		}
	}
}
