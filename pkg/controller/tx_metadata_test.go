package controller_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/events"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// A manager accepts an *events.Recorder.
var _ controller.EventRecorder = (*events.Recorder)(nil)

var _ = Describe("In a transaction", func() {
	const finalizer = "example.com/cleanup"

	It("finalizers are added and removed by one call each", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		var seen journal[string]
		Expect(controller.New(m, "c", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			defer GinkgoRecover()
			if site.DeletionTimestamp != nil {
				Expect(tx.AddFinalizer(site, "example.com/too-late")).To(BeFalse())
				seen.note(fmt.Sprint("clean up ", tx.RemoveFinalizer(site, finalizer)))
				return controller.Result{}, nil
			}
			if tx.AddFinalizer(site, finalizer) {
				seen.note("added")
				return controller.Result{}, nil
			}
			Expect(tx.RemoveFinalizer(site, "example.com/other")).To(BeFalse())
			seen.note("there")
			return controller.Result{}, nil
		}, controller.Options{})).Error().To(Succeed())
		run(m)
		site := newSite("a", 1)
		create(ctx, m.Store(), site)
		once := func() []string { return slices.Compact(seen.all()) } // a key may be reconciled more often
		Eventually(once).Should(Equal([]string{"added", "there"}))
		Expect(m.Store().Delete(ctx, site, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		Eventually(func() error {
			_, err := store.Get[*Site](ctx, m.Store(), store.KeyOf(site))
			return err
		}).Should(MatchError(apierrors.IsNotFound, "NotFound"))
		Expect(once()).To(Equal([]string{"added", "there", "clean up true"}))
	}, SpecTimeout(time.Minute))

	It("a finalizer is followed by a reconcile, even if a filter drops its change", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		var seen journal[string]
		Expect(controller.New(m, "c", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			if tx.AddFinalizer(site, finalizer) {
				seen.note("added")
				return controller.Result{}, nil
			}
			seen.note("there")
			return controller.Result{}, nil
		}, controller.Options{}, controller.For(informer.GenerationChanged[*Site]()))).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(seen.all).Should(Equal([]string{"added", "there"}))
	}, SpecTimeout(time.Minute))

	It("a failure is reported and backs off, and is not brought back by its report", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		var tries atomic.Int32
		c, err := controller.New(m, "c", func(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			n := tries.Add(1)
			site.Status.Ready = n // another one at each try
			tx.UpdateStatus(site)
			return controller.Result{}, tx.Fail(ctx, fmt.Errorf("failure %d", n))
		}, controller.Options{BackoffBase: 100 * time.Millisecond, BackoffMax: time.Hour})
		Expect(err).NotTo(HaveOccurred())
		run(m)
		site := newSite("a", 1)
		create(ctx, m.Store(), site)
		Eventually(tries.Load).Should(BeNumerically(">=", 3))
		state := c.KeyState(controller.Request{Key: store.KeyOf(site)})
		Expect(state.Failures).To(BeNumerically("~", tries.Load(), 1), "each reconcile is one after a backoff")
		// The sum of the pauses so far: 100 ms, doubled after each failure.
		Expect(state.Failures).To(BeNumerically("<", 12))
		now := must(store.Get[*Site](ctx, m.Store(), store.KeyOf(site)))
		Expect(now.Status.Ready).To(BeNumerically(">=", 2))

		_, _, err = store.Mutate(ctx, m.Store(), store.KeyOf(site), func(site *Site) error { site.Spec.Replicas = 9; return nil })
		Expect(err).NotTo(HaveOccurred())
		before := tries.Load()
		Eventually(tries.Load).Should(BeNumerically(">", before), "another's change brings it back at once")
	}, SpecTimeout(time.Minute))

	It("a failure that cannot be reported is the commit's", func(ctx SpecContext) {
		b := newTxBench(ctx, newManager(controller.ManagerOptions{}))
		failure := errors.New("the disk is full")
		err := b.try(ctx, func(ctx context.Context, tx *controller.Tx, site *Site) error {
			site.Name = "none"
			site.ResourceVersion, site.UID = "", ""
			tx.UpdateStatus(site)
			return tx.Fail(ctx, failure)
		})
		Expect(err).To(MatchError(failure))
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
	}, SpecTimeout(time.Minute))

	It("finalizers can be changed together with the rest of the object", func(ctx SpecContext) {
		b := newTxBench(ctx, newManager(controller.ManagerOptions{}))
		b.do(ctx, func(tx *controller.Tx, site *Site) {
			tx.UpdateStatus(site)
			Expect(tx.AddFinalizer(site, finalizer)).To(BeTrue())
			Expect(tx.AddFinalizer(site, "example.com/b")).To(BeTrue())
			site.Spec.Replicas, site.Status.Ready = 7, 7
			tx.Update(site)
			tx.UpdateStatus(site)
			Expect(tx.RemoveFinalizer(site, "example.com/b")).To(BeTrue())
		})
		got, err := store.Get[*Site](ctx, b.manager.Store(), store.KeyOf(b.site))
		Expect(err).NotTo(HaveOccurred())
		Expect(got.Finalizers).To(Equal([]string{finalizer}))
		Expect([]int32{got.Spec.Replicas, got.Status.Ready}).To(Equal([]int32{7, 7}))
	}, SpecTimeout(time.Minute))

	type gateStatus struct {
		Conditions []metav1.Condition `json:"conditions,omitempty"`
	}
	type Gate = store.Resource[SiteSpec, gateStatus]

	It("conditions are set by one call, and their transition time follows their status", func(ctx SpecContext) {
		s, err := store.New(etcd.Client(), store.Options{
			Prefix: fmt.Sprintf("/spec-%d/", time.Now().UnixNano()),
			Kinds: []store.AnyKind{store.Kind[*Gate]{
				GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Gate"},
			}},
		})
		Expect(err).NotTo(HaveOccurred())
		clock := &shiftedClock{}
		m := newManagerOn(s, controller.ManagerOptions{Clock: clock})
		var changes journal[bool]
		Expect(controller.New(m, "c", func(_ context.Context, tx *controller.Tx, gate *Gate) (controller.Result, error) {
			open := metav1.ConditionFalse
			if gate.Spec.Replicas > 0 {
				open = metav1.ConditionTrue
			}
			changes.note(tx.SetCondition(gate, &gate.Status.Conditions, metav1.Condition{
				Type: "Open", Status: open, Reason: "Asked", Message: fmt.Sprint(gate.Spec.Replicas),
			}))
			tx.SetCondition(gate, &gate.Status.Conditions, metav1.Condition{Type: "Known", Status: metav1.ConditionTrue, Reason: "Seen"})
			return controller.Result{}, nil
		}, controller.Options{})).Error().To(Succeed())
		gate := &Gate{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"}}
		create(ctx, s, gate)
		run(m)
		conditions := func(g Gomega, generation int64) []metav1.Condition {
			got, err := store.Get[*Gate](ctx, s, store.KeyOf(gate))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got.Status.Conditions).To(HaveLen(2))
			g.Expect(got.Status.Conditions).To(HaveEach(HaveField("ObservedGeneration", generation)))
			return got.Status.Conditions
		}
		var since, start metav1.Time
		for i, c := range []struct {
			replicas int32
			status   metav1.ConditionStatus
			moves    bool
		}{{0, metav1.ConditionFalse, false}, {1, metav1.ConditionTrue, true}, {2, metav1.ConditionTrue, false}} {
			if i > 0 {
				clock.shift.Add(int64(time.Minute))
				_, _, err := store.Mutate(ctx, s, store.KeyOf(gate), func(gate *Gate) error { gate.Spec.Replicas = c.replicas; return nil })
				Expect(err).NotTo(HaveOccurred())
			}
			Eventually(func(g Gomega) {
				open := conditions(g, int64(i+1))[0]
				g.Expect(open.Status).To(Equal(c.status))
				g.Expect(open.Message).To(Equal(fmt.Sprint(c.replicas)))
				if i == 0 {
					since, start = open.LastTransitionTime, open.LastTransitionTime
				}
				if c.moves {
					g.Expect(open.LastTransitionTime.Time).To(BeTemporally(">=", since.Add(time.Minute)))
				} else {
					g.Expect(open.LastTransitionTime).To(Equal(since))
				}
				g.Expect(conditions(g, int64(i+1))[1].LastTransitionTime).To(Equal(start))
				since = open.LastTransitionTime
			}).Should(Succeed())
		}
		Eventually(func() bool { all := changes.all(); return all[len(all)-1] }).Should(BeFalse(), "it is so already")
	}, SpecTimeout(time.Minute))

	It("Events are recorded once it is committed, and only then", func(ctx SpecContext) {
		recorded := &recorder{}
		m := newManager(controller.ManagerOptions{Events: recorded})
		b := newTxBench(ctx, m)
		say := func(tx *controller.Tx, about runtime.Object, what string) {
			tx.Eventf(about, nil, corev1.EventTypeNormal, "Said", "Say", "%s and 100%%", what)
		}
		b.do(ctx, func(tx *controller.Tx, site *Site) {
			child := newDeployment("")
			child.GenerateName = "web-"
			tx.Create(child)
			say(tx, child, "created")
			say(tx, site, "done")
			Expect(recorded.all()).To(BeEmpty())
		})
		children, err := store.List[*appsv1.Deployment](ctx, m.Store(), store.ListOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(children.Items).To(HaveLen(1))
		committed := []string{children.Items[0].Name + ": created and 100%", "a: done and 100%"}
		Expect(recorded.all()).To(Equal(committed))

		refusal := errors.New("no")
		Expect(b.try(ctx, func(_ context.Context, tx *controller.Tx, site *Site) error {
			say(tx, site, "in vain")
			return refusal
		})).To(MatchError(refusal))
		Expect(b.try(ctx, func(ctx context.Context, tx *controller.Tx, site *Site) error {
			other := site.DeepCopy()
			other.Spec.Replicas++
			Expect(m.Store().Update(ctx, other)).Error().NotTo(HaveOccurred())
			tx.Unchanged(site)
			say(tx, site, "in vain")
			err := tx.Commit(ctx)
			say(tx, site, "after it")
			return err
		})).To(MatchError(apierrors.IsConflict, "Conflict"))
		Expect(recorded.all()).To(Equal(committed))

		Expect(b.try(ctx, func(ctx context.Context, tx *controller.Tx, site *Site) error {
			Expect(tx.Commit(ctx)).To(Succeed())
			say(tx, site, "after it")
			return nil
		})).To(MatchError(ContainSubstring("committed already")))
		Expect(recorded.all()).To(Equal(append(committed, "a: after it and 100%")))
	}, SpecTimeout(time.Minute))

	It("Events are dropped without a recorder", func(ctx SpecContext) {
		b := newTxBench(ctx, newManager(controller.ManagerOptions{}))
		b.do(ctx, func(tx *controller.Tx, site *Site) {
			tx.Eventf(site, nil, corev1.EventTypeNormal, "Said", "Say", "nothing")
		})
	}, SpecTimeout(time.Minute))
})

// recorder records Events.
type recorder struct{ journal[string] }

func (r *recorder) Eventf(regarding, _ runtime.Object, _, _, _, note string, args ...any) {
	r.note(regarding.(metav1.Object).GetName() + ": " + fmt.Sprintf(note, args...))
}

// shiftedClock is the system's clock with a later time.
type shiftedClock struct {
	clock.RealClock
	shift atomic.Int64 // in nanoseconds
}

func (c *shiftedClock) Now() time.Time { return c.RealClock.Now().Add(time.Duration(c.shift.Load())) }
