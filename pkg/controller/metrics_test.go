package controller_test

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/events"
	"github.com/homeostat/homeostat/pkg/informer"
)

// metric returns a function that sums the samples with a name and these label values,
// or the counts of a histogram. The function returns -1 if there is no sample.
func metric(m *controller.Manager, name string, labels ...string) func() float64 {
	return func() float64 {
		GinkgoHelper()
		families, err := m.Metrics().Gather()
		Expect(err).NotTo(HaveOccurred())
		for _, f := range families {
			if f.GetName() != name {
				continue
			}
			sum, found := 0.0, false
			for _, sample := range f.Metric {
				values := map[string]bool{}
				for _, l := range sample.Label {
					values[l.GetValue()] = true
				}
				match := true
				for _, l := range labels {
					match = match && values[l]
				}
				if !match {
					continue
				}
				found = true
				sum += sample.GetCounter().GetValue() + sample.GetGauge().GetValue() + float64(sample.GetHistogram().GetSampleCount())
			}
			if found {
				return sum
			}
		}
		return -1
	}
}

var _ = Describe("Metrics", func() {
	It("include those of the manager's recorder of Events", func() {
		s := newStore(etcd.Client())
		recorder, err := events.New(s, events.Options{Controller: "c", Prefix: "/events" + s.Prefix()})
		Expect(err).NotTo(HaveOccurred())
		m := newManagerOn(s, controller.ManagerOptions{Events: recorder})
		dropped := func(cause string) float64 { return metric(m, "homeostat_events_dropped_total", cause)() }
		Expect(dropped("invalid")).To(BeZero())
		recorder.Eventf(nil, nil, "Normal", "About", "Nothing", "")
		Expect(dropped("invalid")).To(Equal(1.0))
		for _, other := range []string{"limited", "full", "failed"} {
			Expect(dropped(other)).To(BeZero())
		}
	})

	It("count reconciles by result", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		var calls atomic.Int32
		Expect(controller.New(m, "c", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			switch calls.Add(1) {
			case 1:
				return controller.Result{}, errors.New("no")
			case 2:
				panic("really not")
			case 3: // loses to a writer that was faster
				_, err := m.Store().Update(ctx, func() *Site { s := site.DeepCopy(); s.Spec.Replicas = 7; return s }())
				Expect(err).NotTo(HaveOccurred())
				site.Spec.Replicas = 8
				tx.Update(site)
			case 4:
				return controller.Result{RequeueAfter: time.Nanosecond}, nil
			case 5:
				return controller.Result{}, controller.TerminalError(errors.New("never"))
			}
			return controller.Result{}, nil
		}, controller.Options{Workers: 3}, controller.For[*Site](informer.GenerationChanged[*Site]()))).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(metric(m, "controller_runtime_terminal_reconcile_errors_total", "c")).Should(Equal(1.0))
		Expect(metric(m, "controller_runtime_reconcile_total", "c", "error")()).To(Equal(3.0))
		Expect(metric(m, "controller_runtime_reconcile_errors_total", "c")()).To(Equal(3.0))
		Expect(metric(m, "controller_runtime_reconcile_panics_total", "c")()).To(Equal(1.0))
		Expect(metric(m, "controller_runtime_reconcile_total", "c", "requeue")()).To(Equal(1.0))
		Expect(metric(m, "homeostat_reconcile_conflicts_total", "c")()).To(Equal(1.0))
		Expect(metric(m, "controller_runtime_reconcile_total", "c", "requeue_after")()).To(BeNumerically(">=", 1))
		Expect(metric(m, "controller_runtime_max_concurrent_reconciles", "c")()).To(Equal(3.0))
		Expect(metric(m, "workqueue_retries_total", "c")()).To(Equal(3.0))
		n := metric(m, "controller_runtime_reconcile_total", "c")()
		Expect(metric(m, "controller_runtime_reconcile_time_seconds", "c")()).To(Equal(n))
		Expect(metric(m, "workqueue_queue_duration_seconds", "c")()).To(Equal(n))
		Expect(metric(m, "workqueue_adds_total", "c")()).To(BeNumerically(">=", n))
		Expect(metric(m, "homeostat_replica_objects", "Site", "main")()).To(Equal(1.0))
	}, SpecTimeout(time.Minute))

	It("show running reconciles and waiting keys", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		leave := make(chan struct{})
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(context.Context, controller.Request) (controller.Result, error) {
				<-leave
				return controller.Result{}, nil
			}), controller.Options{Workers: 2})).Error().To(Succeed())
		Expect(metric(m, "workqueue_depth", "c")()).To(BeZero(), "it does not run yet")
		run(m)
		create(ctx, m.Store(), newSite("a", 1), newSite("b", 1), newSite("c", 1), newSite("d", 1), newSite("e", 1))
		Eventually(metric(m, "workqueue_depth", "c")).Should(Equal(3.0))
		Expect(metric(m, "controller_runtime_active_workers", "c")()).To(Equal(2.0))
		for _, name := range []string{"homeostat_queue_oldest_seconds", "workqueue_longest_running_processor_seconds"} {
			before := metric(m, name, "c")()
			Eventually(metric(m, name, "c")).Should(BeNumerically(">", before))
		}
		Expect(metric(m, "workqueue_unfinished_work_seconds", "c")()).To(
			BeNumerically(">", metric(m, "workqueue_longest_running_processor_seconds", "c")()/2))
		close(leave)
		Eventually(metric(m, "workqueue_work_duration_seconds", "c")).Should(Equal(5.0))
		Eventually(metric(m, "controller_runtime_active_workers", "c")).Should(BeZero())
		Expect(metric(m, "workqueue_depth", "c")()).To(BeZero())
		Expect(metric(m, "homeostat_queue_oldest_seconds", "c")()).To(BeZero())
	}, SpecTimeout(time.Minute))

	It("are separate for each manager, and well formed", func() {
		a, b := newManager(controller.ManagerOptions{}), newManager(controller.ManagerOptions{})
		for _, m := range []*controller.Manager{a, b} {
			Expect(controller.NewFor[*Site](m, "same", &names{}, controller.Options{})).Error().To(Succeed())
			Expect(m.AddReplica("other", informer.NewReplica(newStore(etcd.Client()), informer.Options{}))).To(Succeed())
			Expect(m.AddReplica("main", informer.NewReplica(newStore(etcd.Client()), informer.Options{}))).NotTo(Succeed())
		}
		problems, err := testutil.GatherAndLint(a.Metrics())
		Expect(err).NotTo(HaveOccurred())
		Expect(problems).To(BeEmpty())
		own := prometheus.NewCounter(prometheus.CounterOpts{Name: "mine_total", Help: "Mine."})
		Expect(a.Metrics().Register(own)).To(Succeed())
		own.Inc()
		Expect(metric(a, "mine_total")()).To(Equal(1.0))
		Expect(metric(b, "mine_total")()).To(Equal(-1.0))
		Expect(metric(a, "homeostat_replica_synced", "other")()).To(BeZero())
	})
})
