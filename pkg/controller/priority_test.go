package controller_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
)

var _ = Describe("An object that exists at the start", func() {
	const many = 30
	var (
		m        *controller.Manager
		received atomic.Int32 // the number of events that the source received; all but the last are queued
		calls    journal[string]
		enter    chan struct{} // lets the first reconcile go on
	)
	source := func() controller.Source[controller.Request] {
		return controller.WatchesEvents(func(_ context.Context, e informer.Event[*Site]) []controller.Request {
			received.Add(1)
			return []controller.Request{request(e.Object)}
		})
	}

	BeforeEach(func(ctx SpecContext) {
		m = newManager(controller.ManagerOptions{})
		received.Store(0)
		calls, enter = journal[string]{}, make(chan struct{})
		for i := range many {
			create(ctx, m.Store(), newSite(fmt.Sprintf("s%02d", i), 1))
		}
	})

	It("is reconciled after objects that change, in its own namespace and in others", func(ctx SpecContext) {
		Expect(controller.NewReconciler(m, "c", controller.ReconcilerFunc[controller.Request](
			func(_ context.Context, r controller.Request) (controller.Result, error) {
				<-enter
				calls.note(r.Namespace + "/" + r.Name)
				return controller.Result{}, nil
			}), controller.Options{}, source())).Error().To(Succeed())
		run(m)
		Eventually(received.Load).Should(Equal(int32(many)))
		changed := newSite("s20", 2)
		Expect(m.Store().Update(ctx, changed)).Error().NotTo(HaveOccurred())
		elsewhere := newSite("new", 1)
		elsewhere.Namespace = "elsewhere"
		create(ctx, m.Store(), elsewhere, newSite("last", 1))
		Eventually(received.Load).Should(Equal(int32(many + 3)))
		close(enter)
		Eventually(calls.len).Should(Equal(many + 2))
		Expect(calls.all()[:3]).To(Equal([]string{"default/s00", "default/s20", "elsewhere/new"}))
	}, SpecTimeout(time.Minute))

	It("is reconciled even if changes never end", func(ctx SpecContext) {
		busy := make(chan controller.Request, 8)
		for i := range cap(busy) {
			busy <- request(&Site{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprint("busy", i), Name: "key"}})
		}
		var stopped atomic.Bool
		Expect(controller.NewReconciler(m, "c", controller.ReconcilerFunc[controller.Request](
			func(_ context.Context, r controller.Request) (controller.Result, error) {
				if r.Namespace == "default" {
					calls.note(r.Name)
				} else if !stopped.Load() {
					busy <- r
				}
				return controller.Result{}, nil
			}), controller.Options{}, controller.FromChannel(busy), source())).Error().To(Succeed())
		DeferCleanup(func() { stopped.Store(true) })
		run(m)
		Eventually(calls.len).Should(Equal(many))
	}, SpecTimeout(time.Minute))
})
