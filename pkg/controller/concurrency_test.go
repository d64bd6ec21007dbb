package controller_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/homeostat/homeostat/pkg/controller"
)

var _ = Describe("Workers", func() {
	It("each reconcile one key at a time, all at once", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		var active, most atomic.Int32
		leave := make(chan struct{})
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(context.Context, controller.Request) (controller.Result, error) {
				raise(&most, active.Add(1))
				defer active.Add(-1)
				<-leave
				return controller.Result{}, nil
			}), controller.Options{Workers: 3})).Error().To(Succeed())
		run(m)
		for i := range 6 {
			create(ctx, m.Store(), newSite(fmt.Sprint("s", i), 1))
		}
		Eventually(active.Load).Should(Equal(int32(3)))
		close(leave)
		Eventually(active.Load).Should(BeZero())
		Expect(most.Load()).To(Equal(int32(3)))
	}, SpecTimeout(time.Minute))

	It("never reconcile the same key at the same time, and miss no change", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		var mu sync.Mutex
		busy, seen, twice := map[string]bool{}, map[string]int32{}, 0
		enter := func(name string, in bool) {
			mu.Lock()
			defer mu.Unlock()
			if in && busy[name] {
				twice++
			}
			busy[name] = in
		}
		Expect(controller.New(m, "c", func(ctx context.Context, _ *controller.Tx, site *Site) (controller.Result, error) {
			enter(site.Name, true)
			defer enter(site.Name, false)
			mu.Lock()
			defer mu.Unlock()
			seen[site.Name] = site.Spec.Replicas
			return controller.Result{}, nil
		}, controller.Options{Workers: 8})).Error().To(Succeed())
		run(m)
		const changes = 50
		for name := range 4 {
			site := newSite(fmt.Sprint("s", name), 0)
			create(ctx, m.Store(), site)
			for range changes {
				site.Spec.Replicas++
				Expect(m.Store().Update(ctx, site)).Error().NotTo(HaveOccurred())
			}
		}
		Eventually(func() map[string]int32 {
			mu.Lock()
			defer mu.Unlock()
			all := map[string]int32{}
			for name, replicas := range seen {
				all[name] = replicas
			}
			return all
		}).Should(Equal(map[string]int32{"s0": changes, "s1": changes, "s2": changes, "s3": changes}))
		Expect(twice).To(BeZero())
	}, SpecTimeout(time.Minute))
})

// raise makes v at least n.
func raise(v *atomic.Int32, n int32) {
	for old := v.Load(); old < n && !v.CompareAndSwap(old, n); old = v.Load() {
	}
}
