package controller_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// whys records the causes of reconciles.
type whys struct{ journal[string] }

func (w *whys) note(ctx context.Context) {
	causes, total := controller.Causes(ctx)
	w.journal.note(fmt.Sprint(total, causes))
}

var _ = Describe("A reconcile knows its causes", func() {
	var (
		m   *controller.Manager
		log *logbook
		why *whys
	)

	BeforeEach(func() {
		log, why = new(logbook), new(whys)
		m = newManager(controller.ManagerOptions{Log: log.logger(), Clock: new(hastyClock)})
	})

	// start runs a controller. end gets the number of each reconcile and returns its
	// result.
	start := func(end func(n int) (controller.Result, error), sources ...controller.Source[controller.Request]) {
		GinkgoHelper()
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(ctx context.Context, _ controller.Request) (controller.Result, error) {
				n := why.len()
				why.note(ctx)
				return end(n)
			}), controller.Options{BackoffBase: time.Minute}, sources...)).Error().To(Succeed())
		run(m)
	}
	well := func(int) (controller.Result, error) { return controller.Result{}, nil }

	It("such as changes of objects, with their revisions", func(ctx SpecContext) {
		old := newSite("old", 1)
		create(ctx, m.Store(), old)
		start(well, controller.Owns[*corev1.ConfigMap]())
		Eventually(why.all).Should(Equal([]string{"1 [initial Site default/old at " + old.ResourceVersion + "]"}))

		child := newConfigMap("child")
		child.OwnerReferences = []metav1.OwnerReference{controllerRef(m.Store(), old)}
		create(ctx, m.Store(), child)
		Eventually(why.len).Should(Equal(2))
		old.Spec.Replicas = 2
		Expect(m.Store().Update(ctx, old)).Error().NotTo(HaveOccurred())
		Eventually(why.len).Should(Equal(3))
		modified := old.ResourceVersion
		deleted, err := m.Store().Delete(ctx, old, store.DeleteOptions{})
		Expect(err).NotTo(HaveOccurred())
		Eventually(why.len).Should(Equal(4))
		Expect(why.all()[1:]).To(Equal([]string{
			"1 [added ConfigMap default/child at " + child.ResourceVersion + "]",
			"1 [modified Site default/old at " + modified + "]",
			fmt.Sprintf("1 [deleted Site default/old at %d]", deleted),
		}))
	}, SpecTimeout(time.Minute))

	It("such as a requeue and a backoff", func(ctx SpecContext) {
		start(func(n int) (controller.Result, error) {
			switch n {
			case 0:
				return controller.Result{RequeueAfter: time.Hour}, nil
			case 1:
				return controller.Result{}, errors.New("no such luck")
			}
			return controller.Result{}, nil
		})
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(why.len).Should(Equal(3))
		Expect(why.all()[1:]).To(Equal([]string{"1 [requeue after]", "1 [backoff]"}))
	}, SpecTimeout(time.Minute))

	It("such as a channel and a timer", func(ctx SpecContext) {
		keys := make(chan controller.Request)
		start(well, controller.FromChannel(keys), controller.Every(24*time.Hour, func(context.Context) []controller.Request {
			return []controller.Request{request(newSite("t", 1))}
		}))
		Eventually(why.all).Should(Equal([]string{"1 [timer]"}))
		keys <- request(newSite("a", 1))
		Eventually(why.all).Should(Equal([]string{"1 [timer]", "1 [channel]"}))
	}, SpecTimeout(time.Minute))

	It("such as the arrival of its own writes", func(ctx SpecContext) {
		f := newFaulty(etcd)
		m = newManagerOn(newStore(f.client), controller.ManagerOptions{})
		keys := make(chan controller.Request)
		var wrote atomic.Int64
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(ctx context.Context, r controller.Request) (controller.Result, error) {
				first := why.len() == 0
				why.note(ctx)
				if !first {
					return controller.Result{}, nil
				}
				f.hold()
				site, err := store.Get[*Site](ctx, m.Store(), r.Key)
				if err != nil {
					return controller.Result{}, err
				}
				site.Status.Ready = 1
				revision, err := m.Store().UpdateStatus(ctx, site)
				wrote.Store(revision)
				return controller.Result{}, err
			}), controller.Options{}, controller.For(informer.GenerationChanged[*Site]()), controller.FromChannel(keys))).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(wrote.Load).ShouldNot(BeZero())
		for range 2 { // the second is received when the first has been queued
			keys <- request(newSite("a", 1))
		}
		Consistently(why.len, 100*time.Millisecond).Should(Equal(1))
		f.release()
		Eventually(why.len).Should(Equal(2))
		Expect(why.all()[1]).To(SatisfyAny(
			Equal(fmt.Sprintf("3 [channel channel own writes at %d]", wrote.Load())),
			Equal(fmt.Sprintf("3 [channel own writes at %d channel]", wrote.Load()))))
	}, SpecTimeout(time.Minute))

	It("and its log lines show them", func(ctx SpecContext) {
		site := newSite("a", 1)
		create(ctx, m.Store(), site)
		start(func(int) (controller.Result, error) {
			return controller.Result{}, controller.TerminalError(errors.New("no"))
		})
		Eventually(func() []string { return log.with("for good") }).Should(ConsistOf(And(
			ContainSubstring(`"name"="a"`), ContainSubstring(`"reconcile"=1`),
			ContainSubstring(`"causes"="initial Site default/a at `+site.ResourceVersion+`"`))))
	}, SpecTimeout(time.Minute))

	It("and a change during a reconcile is a cause of the next one", func(ctx SpecContext) {
		keys, begun, leave := make(chan controller.Request), make(chan struct{}), make(chan struct{})
		start(func(n int) (controller.Result, error) {
			if n == 0 {
				close(begun)
				<-leave
			}
			return controller.Result{}, nil
		}, controller.FromChannel(keys))
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(begun).Should(BeClosed())
		for range 9 {
			keys <- request(newSite("a", 1))
		}
		keys <- request(newSite("another", 1)) // all before it have been queued
		close(leave)
		Eventually(why.len).Should(Equal(3))
		Expect(why.all()[1:]).To(ConsistOf("1 [channel]", "9 [channel channel channel channel channel channel channel channel]"))
	}, SpecTimeout(time.Minute))

	It("each exactly once, and never none, under concurrent changes", func(ctx SpecContext) {
		var named, served, without atomic.Int64
		Expect(controller.NewReconciler(m, "c", controller.ReconcilerFunc[controller.Request](
			func(ctx context.Context, _ controller.Request) (controller.Result, error) {
				causes, total := controller.Causes(ctx)
				if total == 0 || len(causes) != min(total, 8) {
					without.Add(1)
				}
				served.Add(int64(total))
				return controller.Result{}, nil
			}), controller.Options{Workers: 4}, controller.WatchesEvents(
			func(_ context.Context, e informer.Event[*Site]) []controller.Request {
				named.Add(2)
				return []controller.Request{request(e.Object), {Key: store.Key{Name: "all"}}}
			}))).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("first", 0))
		Eventually(named.Load).Should(Equal(int64(2)), "from then on each change is seen")
		const changes = 40
		for i := range 3 {
			site := newSite(fmt.Sprint("s", i), 0)
			create(ctx, m.Store(), site)
			for range changes - 1 {
				site.Spec.Replicas++
				Expect(m.Store().Update(ctx, site)).Error().NotTo(HaveOccurred())
			}
		}
		Eventually(named.Load).Should(Equal(int64(2 * (1 + 3*changes))))
		Eventually(served.Load).Should(Equal(named.Load()))
		Expect(without.Load()).To(BeZero())
	}, SpecTimeout(time.Minute))
})
