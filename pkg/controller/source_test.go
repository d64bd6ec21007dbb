package controller_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// committed returns the revision of a write that must succeed.
func committed(revision int64, err error) int64 {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	return revision
}

var _ = Describe("A source", func() {
	var (
		m     *controller.Manager
		calls *names
	)

	BeforeEach(func() {
		m = newManager(controller.ManagerOptions{})
		calls = new(names)
	})

	It("For reconciles objects that exist at the start, change or are deleted", func(ctx SpecContext) {
		create(ctx, m.Store(), newSite("old", 1))
		Expect(controller.NewFor[*Site](m, "c", calls, controller.Options{})).Error().To(Succeed())
		run(m)
		Eventually(calls.all).Should(Equal([]string{"old"}))

		site := newSite("new", 1)
		create(ctx, m.Store(), site)
		Eventually(calls.all).Should(Equal([]string{"old", "new"}))
		site.Spec.Replicas++
		Expect(m.Store().Update(ctx, site)).Error().NotTo(HaveOccurred())
		Eventually(calls.len).Should(Equal(3))
		Expect(m.Store().Delete(ctx, site, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		Eventually(calls.all).Should(Equal([]string{"old", "new", "new", "new"}))
	}, SpecTimeout(time.Minute))

	It("Owns reconciles an object's controller, and the one before a change", func(ctx SpecContext) {
		a, b := newSite("a", 1), newSite("b", 1)
		create(ctx, m.Store(), a, b)
		never := informer.Or[*Site]()
		Expect(controller.NewFor[*Site](m, "c", calls, controller.Options{},
			controller.For(never), controller.Owns[*corev1.ConfigMap]())).Error().To(Succeed())
		run(m)

		child := newConfigMap("child")
		child.OwnerReferences = []metav1.OwnerReference{controllerRef(m.Store(), a)}
		create(ctx, m.Store(), newConfigMap("orphan"), child)
		Eventually(calls.all).Should(Equal([]string{"a"}))
		child.OwnerReferences = []metav1.OwnerReference{controllerRef(m.Store(), b)}
		Expect(m.Store().Update(ctx, child)).Error().NotTo(HaveOccurred())
		Eventually(calls.all).Should(ConsistOf("a", "a", "b"))
		Expect(m.Store().Delete(ctx, child, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		Eventually(calls.all).Should(ConsistOf("a", "a", "b", "b"))
	}, SpecTimeout(time.Minute))

	DescribeTable("Owns reconciles an owner that an object had only in between, although changes are joined",
		func(ctx SpecContext, change func(ctx context.Context, s *store.Store, child *corev1.ConfigMap, own func(name string)) int64, also ...string) {
			clock := clocktesting.NewFakeClock(time.Now())
			m = newManager(controller.ManagerOptions{Clock: clock})
			create(ctx, m.Store(), newSite("a", 1), newSite("b", 1), newSite("c", 1))
			child := newConfigMap("child")
			own := func(name string) {
				site, err := store.Get[*Site](ctx, m.Store(), store.Key{Namespace: "default", Name: name})
				Expect(err).NotTo(HaveOccurred())
				child.OwnerReferences = []metav1.OwnerReference{controllerRef(m.Store(), site)}
			}
			Expect(controller.NewFor[*Site](m, "c", calls, controller.Options{}, controller.For(informer.Or[*Site]()),
				controller.Debounced(informer.Debounce{Quiet: time.Second}, controller.Owns[*corev1.ConfigMap]()))).Error().To(Succeed())
			run(m)
			Eventually(func() error { return m.Ready(ctx) }).Should(Succeed())
			Expect(m.Replica().WaitForRevision(ctx, change(ctx, m.Store(), child, own))).To(Succeed())
			Consistently(calls.len, "50ms").Should(BeZero(), "the changes are debounced")
			Eventually(func() []string { clock.Step(time.Second); return calls.all() }).Should(ConsistOf(also))
		},
		Entry("it moves on", func(ctx context.Context, s *store.Store, child *corev1.ConfigMap, own func(string)) (last int64) {
			own("a")
			create(ctx, s, child)
			for _, name := range []string{"b", "c"} {
				own(name)
				last = committed(s.Update(ctx, child))
			}
			return last
		}, SpecTimeout(time.Minute), "a", "b", "c"),
		Entry("it comes back", func(ctx context.Context, s *store.Store, child *corev1.ConfigMap, own func(string)) (last int64) {
			own("a")
			create(ctx, s, child)
			for _, name := range []string{"b", "a"} {
				own(name)
				last = committed(s.Update(ctx, child))
			}
			return last
		}, SpecTimeout(time.Minute), "a", "b"),
		Entry("it is gone again", func(ctx context.Context, s *store.Store, child *corev1.ConfigMap, own func(string)) int64 {
			own("b")
			create(ctx, s, child)
			return committed(s.Delete(ctx, child, store.DeleteOptions{}))
		}, SpecTimeout(time.Minute), "b"),
		Entry("it loses all owners", func(ctx context.Context, s *store.Store, child *corev1.ConfigMap, own func(string)) int64 {
			own("a")
			create(ctx, s, child)
			own("b")
			committed(s.Update(ctx, child))
			child.OwnerReferences = nil
			return committed(s.Update(ctx, child))
		}, SpecTimeout(time.Minute), "a", "b"),
	)

	It("Owns reconciles an owner that an object had only in between, although it is far behind", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		first, child := newConfigMap("first"), newConfigMap("child")
		create(ctx, m.Store(), first)
		asleep, awake := make(chan struct{}), make(chan struct{})
		var slept atomic.Bool
		// The filter of an initial object is evaluated by the handler, and so blocks it.
		sleep := informer.Where(func(cm *corev1.ConfigMap) bool {
			if cm.Name == "first" && slept.CompareAndSwap(false, true) {
				close(asleep)
				<-awake
			}
			return true
		})
		Expect(controller.NewFor[*Site](m, "c", calls, controller.Options{}, controller.For(informer.Or[*Site]()),
			controller.OwnsAny(sleep))).Error().To(Succeed())
		run(m)
		Eventually(asleep).Should(BeClosed())
		child.Data = map[string]string{"large": strings.Repeat("x", 600<<10)}
		create(ctx, m.Store(), child)
		var last int64
		for _, name := range []string{"a", "b", "c", "d"} {
			site := newSite(name, 1)
			create(ctx, m.Store(), site)
			child.OwnerReferences = []metav1.OwnerReference{controllerRef(m.Store(), site)}
			last = committed(m.Store().Update(ctx, child))
		}
		Expect(m.Replica().WaitForRevision(ctx, last)).To(Succeed())
		close(awake)
		Eventually(calls.all).Should(ContainElements("a", "b", "c", "d"))
	}, SpecTimeout(time.Minute))

	It("For reconciles an object that came and went while changes are debounced", func(ctx SpecContext) {
		clock := clocktesting.NewFakeClock(time.Now())
		m = newManager(controller.ManagerOptions{Clock: clock})
		Expect(controller.NewFor[*Site](m, "c", calls, controller.Options{},
			controller.Debounced(informer.Debounce{Max: time.Second}, controller.For[*Site]()))).Error().To(Succeed())
		run(m)
		Eventually(func() error { return m.Ready(ctx) }).Should(Succeed())
		site := newSite("passing", 1)
		create(ctx, m.Store(), site)
		Expect(m.Replica().WaitForRevision(ctx, committed(m.Store().Delete(ctx, site, store.DeleteOptions{})))).To(Succeed())
		Eventually(func() []string { clock.Step(time.Second); return calls.all() }).Should(Equal([]string{"passing"}))
	}, SpecTimeout(time.Minute))

	It("Watches names keys for each change of an object, although it is far behind", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		asleep, awake := make(chan struct{}), make(chan struct{})
		var slept atomic.Bool
		owners := func(_ context.Context, e informer.Event[*corev1.ConfigMap]) []controller.Request {
			if slept.CompareAndSwap(false, true) {
				close(asleep)
				<-awake
			}
			return []controller.Request{{Key: store.Key{Namespace: "default", Name: e.Object.Labels["owner"]}}}
		}
		Expect(controller.NewReconciler(m, "c", calls, controller.Options{}, controller.WatchesEvents(owners))).Error().To(Succeed())
		run(m)
		Eventually(func() error { return m.Ready(ctx) }).Should(Succeed())
		create(ctx, m.Store(), newConfigMap("first"))
		Eventually(asleep).Should(BeClosed())

		child := newConfigMap("child")
		child.Data = map[string]string{"large": strings.Repeat("x", 600<<10)}
		child.Labels = map[string]string{"owner": "a"}
		create(ctx, m.Store(), child)
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			child.Labels["owner"] = name
			committed(m.Store().Update(ctx, child))
		}
		passing := newConfigMap("passing")
		passing.Labels = map[string]string{"owner": "f"}
		create(ctx, m.Store(), passing)
		last := committed(m.Store().Delete(ctx, passing, store.DeleteOptions{}))
		Expect(m.Replica().WaitForRevision(ctx, last)).To(Succeed())
		close(awake)
		Eventually(calls.all).Should(ContainElements("a", "b", "c", "d", "e", "f"))
	}, SpecTimeout(time.Minute))

	It("Owns finds cluster-scoped owners, and ignores owners of other kinds", func(ctx SpecContext) {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}}
		deployment := newDeployment("deployment")
		create(ctx, m.Store(), node, deployment)
		var keys journal[controller.Request]
		never := informer.Or[*corev1.Node]()
		Expect(controller.NewFor[*corev1.Node](m, "c", controller.ReconcilerFunc[controller.Request](
			func(_ context.Context, r controller.Request) (controller.Result, error) {
				keys.note(r)
				return controller.Result{}, nil
			}), controller.Options{}, controller.For(never), controller.Owns[*corev1.ConfigMap]())).Error().To(Succeed())
		run(m)

		foreign, child := newConfigMap("foreign"), newConfigMap("child")
		foreign.OwnerReferences = []metav1.OwnerReference{controllerRef(m.Store(), deployment)}
		child.OwnerReferences = []metav1.OwnerReference{controllerRef(m.Store(), node)}
		create(ctx, m.Store(), foreign, child)
		Eventually(keys.all).Should(Equal([]controller.Request{{Key: store.Key{Name: "node"}}}))
	}, SpecTimeout(time.Minute))

	DescribeTable("Owns reconciles both owners where a filter hides one of an object's states",
		func(ctx SpecContext, before, after string) {
			a, b := newSite("a", 1), newSite("b", 1)
			child := newConfigMap("child")
			child.Labels = map[string]string{"color": before}
			create(ctx, m.Store(), a, b)
			child.OwnerReferences = []metav1.OwnerReference{controllerRef(m.Store(), a)}
			create(ctx, m.Store(), child)
			red := informer.LabelSelector[*corev1.ConfigMap](labels.SelectorFromSet(labels.Set{"color": "red"}))
			Expect(controller.NewFor[*Site](m, "c", calls, controller.Options{},
				controller.For(informer.Or[*Site]()), controller.Owns(red, informer.GenerationChanged[*corev1.ConfigMap]()))).Error().To(Succeed())
			run(m)
			known := 0
			if before == "red" {
				known = 1
			}
			Eventually(calls.len).Should(Equal(known))
			Eventually(func() error { return m.Ready(ctx) }).Should(Succeed())

			child.OwnerReferences = []metav1.OwnerReference{controllerRef(m.Store(), b)}
			child.Labels = map[string]string{"color": after}
			Expect(m.Store().Update(ctx, child)).Error().NotTo(HaveOccurred())
			Eventually(func() []string { return calls.all()[known:] }).Should(ConsistOf("a", "b"))
		},
		Entry("it leaves the filter", SpecTimeout(time.Minute), "red", "blue"),
		Entry("it enters the filter", SpecTimeout(time.Minute), "blue", "red"),
		Entry("it is in the filter", SpecTimeout(time.Minute), "red", "red"),
		Entry("it is outside of the filter", SpecTimeout(time.Minute), "blue", "blue"),
	)

	It("OwnsAny reconciles all owners of the kind, and those before a change", func(ctx SpecContext) {
		a, b, other := newSite("a", 1), newSite("b", 1), newDeployment("other")
		create(ctx, m.Store(), a, b, other)
		never := informer.Or[*Site]()
		Expect(controller.NewFor[*Site](m, "c", calls, controller.Options{},
			controller.For(never), controller.OwnsAny[*corev1.ConfigMap]())).Error().To(Succeed())
		run(m)

		user := controllerRef(m.Store(), b)
		user.Controller = nil
		child := newConfigMap("child")
		child.OwnerReferences = []metav1.OwnerReference{controllerRef(m.Store(), a), user}
		create(ctx, m.Store(), newConfigMap("orphan"), child)
		Eventually(calls.all).Should(ConsistOf("a", "b"))
		foreign := controllerRef(m.Store(), other)
		foreign.Controller = nil
		child.OwnerReferences = []metav1.OwnerReference{user, foreign}
		Expect(m.Store().Update(ctx, child)).Error().NotTo(HaveOccurred())
		Eventually(calls.all).Should(ConsistOf("a", "b", "a", "b"))
		child.OwnerReferences = nil
		Expect(m.Store().Update(ctx, child)).Error().NotTo(HaveOccurred())
		Eventually(calls.all).Should(ConsistOf("a", "b", "a", "b", "b"))
	}, SpecTimeout(time.Minute))

	It("Watches reconciles any keys that its function names", func(ctx SpecContext) {
		var keys journal[int]
		Expect(controller.NewReconciler(m, "c", controller.ReconcilerFunc[int](
			func(_ context.Context, key int) (controller.Result, error) {
				keys.note(key)
				return controller.Result{}, nil
			}), controller.Options{},
			controller.WatchesEvents(func(_ context.Context, e informer.Event[*Site]) []int {
				if e.Type == store.Deleted {
					return []int{-1}
				}
				return []int{int(e.Object.Spec.Replicas), int(e.Object.Spec.Replicas) + 1}
			}))).Error().To(Succeed())
		run(m)
		site := newSite("a", 10)
		create(ctx, m.Store(), site)
		Eventually(keys.all).Should(Equal([]int{10, 11}))
		Expect(m.Store().Delete(ctx, site, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		Eventually(keys.all).Should(Equal([]int{10, 11, -1}))
	}, SpecTimeout(time.Minute))

	It("Watches reconciles what an object names, and what it named before", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{})
		rooms := new(names)
		room := func(_ context.Context, site *Site) []controller.Request {
			return []controller.Request{{Key: store.Key{Name: site.Labels["room"]}}}
		}
		Expect(controller.NewReconciler(m, "rooms", rooms, controller.Options{}, controller.Watches(room))).Error().NotTo(HaveOccurred())
		run(m)
		site := newSite("chair", 1)
		site.Labels = map[string]string{"room": "hall"}
		create(ctx, m.Store(), site)
		Eventually(rooms.all).Should(ConsistOf("hall"))
		site.Labels = map[string]string{"room": "attic"}
		Expect(m.Store().Update(ctx, site)).Error().NotTo(HaveOccurred())
		Eventually(rooms.all).Should(ConsistOf("hall", "hall", "attic"))
		site.Spec.Replicas = 2
		Expect(m.Store().Update(ctx, site)).Error().NotTo(HaveOccurred())
		Eventually(rooms.all).Should(ConsistOf("hall", "hall", "attic", "attic"), "one key for both states")
		Expect(m.Store().Delete(ctx, site, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		Eventually(rooms.all).Should(ConsistOf("hall", "hall", "attic", "attic", "attic"))
	}, SpecTimeout(time.Minute))

	It("WatchesInformer takes events from a replica of another etcd, and filters", func(ctx SpecContext) {
		other := newStore(etcdtest.Start(GinkgoTB(), etcdtest.Options{}).Client())
		replica := informer.NewReplica(other, informer.Options{OnMutation: failOnMutation})
		sites, err := informer.ForObject(replica, &Site{})
		Expect(err).NotTo(HaveOccurred())
		replicaCtx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = replica.Run(replicaCtx) }()
		DeferCleanup(func() { cancel(); <-ended })

		Expect(controller.NewReconciler(m, "c", calls, controller.Options{},
			controller.WatchesInformerEvents(sites, func(_ context.Context, e informer.Event[store.Object]) []controller.Request {
				return []controller.Request{request(e.Object)}
			}, informer.Where(func(obj store.Object) bool { return obj.GetName() != "dull" })))).Error().To(Succeed())
		run(m)
		create(ctx, other, newSite("a", 1), newSite("dull", 1), newSite("b", 1))
		create(ctx, m.Store(), newSite("here", 1))
		Eventually(calls.all).Should(Equal([]string{"a", "b"}))
	}, SpecTimeout(time.Minute))

	It("takes events from an added replica, once that has synced", func(ctx SpecContext) {
		other := newStore(etcdtest.Start(GinkgoTB(), etcdtest.Options{}).Client())
		create(ctx, other, newSite("there", 1))
		replica := informer.NewReplica(other, informer.Options{})
		sites, err := informer.For[*Site](replica)
		Expect(err).NotTo(HaveOccurred())
		Expect(m.AddReplica("other", replica)).To(Succeed())
		var found journal[bool]
		Expect(controller.NewReconciler(m, "c", controller.ReconcilerFunc[controller.Request](
			func(_ context.Context, r controller.Request) (controller.Result, error) {
				_, ok := sites.Get(replica.Snapshot(), r.Key)
				found.note(ok)
				return controller.Result{}, nil
			}), controller.Options{},
			controller.Every(time.Hour, func(context.Context) []controller.Request {
				return []controller.Request{request(newSite("there", 1))}
			}),
			controller.WatchesInformerEvents(sites, func(_ context.Context, e informer.Event[*Site]) []controller.Request {
				return []controller.Request{request(e.Object)}
			}))).Error().To(Succeed())
		stop := run(m)
		create(ctx, other, newSite("new", 1))
		Eventually(found.len).Should(BeNumerically(">=", 2))
		stop()
		Expect(found.all()).NotTo(ContainElement(false))
		Expect(goroutinesIn("/pkg/informer.")).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("FromChannel reconciles keys until the channel is closed", func(ctx SpecContext) {
		keys := make(chan controller.Request, 2)
		Expect(controller.NewFor[*Site](m, "c", calls, controller.Options{}, controller.FromChannel(keys))).Error().To(Succeed())
		keys <- request(newSite("a", 1))
		keys <- request(newSite("b", 1))
		run(m)
		Eventually(calls.all).Should(ConsistOf("a", "b"))
		close(keys)
		Eventually(func() []string { return goroutinesIn("controller.FromChannel") }).Should(BeEmpty())
		create(ctx, m.Store(), newSite("c", 1))
		Eventually(calls.all).Should(ConsistOf("a", "b", "c"))
	}, SpecTimeout(time.Minute))

	It("Resync reconciles all objects again and again", func(ctx SpecContext) {
		create(ctx, m.Store(), newSite("a", 1), newSite("b", 1))
		Expect(controller.NewFor[*Site](m, "c", calls, controller.Options{}, controller.Resync[*Site](10*time.Millisecond))).Error().To(Succeed())
		run(m)
		times := func(name string) func() int {
			return func() (n int) {
				for _, call := range calls.all() {
					if call == name {
						n++
					}
				}
				return n
			}
		}
		Eventually(times("a")).Should(BeNumerically(">", 3))
		Eventually(times("b")).Should(BeNumerically(">", 3))
	}, SpecTimeout(time.Minute))

	It("survives functions that panic or fail: a filter then passes", func(ctx SpecContext) {
		var log logbook
		m = newManager(controller.ManagerOptions{Log: log.logger()})
		Expect(controller.NewFor[*Site](m, "c", calls, controller.Options{},
			controller.For(informer.Where(func(*Site) bool { panic("bad filter") })),
			controller.WatchesEvents(func(_ context.Context, e informer.Event[*corev1.ConfigMap]) []controller.Request {
				return []controller.Request{request(e.Object)}
			}, informer.Leaf[*corev1.ConfigMap]{Change: func(_, _ *corev1.ConfigMap) (bool, error) { return false, errors.New("bad condition") }}.Filter()),
			controller.WatchesEvents(func(_ context.Context, e informer.Event[*appsv1.Deployment]) []controller.Request {
				if e.Object.Name == "bad" {
					panic("bad mapping")
				}
				return []controller.Request{request(e.Object)}
			}))).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newDeployment("bad"), newDeployment("good"), newSite("site", 1), newConfigMap("config"))
		Eventually(calls.all).Should(ConsistOf("good", "site", "config"))
		Expect(log.with("bad mapping")).To(ConsistOf(And(ContainSubstring("goroutine"), ContainSubstring(`"namespace"="default"`))))
		Expect(log.with("bad filter")).To(ConsistOf(ContainSubstring("default/site")))
		Expect(log.with("bad condition")).To(ConsistOf(ContainSubstring("default/config")))
	}, SpecTimeout(time.Minute))

	It("calls none of its functions once Run has returned", func(ctx SpecContext) {
		entered, leave := make(chan struct{}), make(chan struct{})
		var returned bool
		replica := informer.NewReplica(newStore(etcd.Client()), informer.Options{OnMutation: failOnMutation})
		sites, err := informer.For[*Site](replica)
		Expect(err).NotTo(HaveOccurred())
		replicaCtx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = replica.Run(replicaCtx) }()
		DeferCleanup(func() { cancel(); <-ended })
		Expect(controller.NewReconciler(m, "c", calls, controller.Options{},
			controller.WatchesInformerEvents(sites, func(ctx context.Context, _ informer.Event[*Site]) []controller.Request {
				close(entered)
				<-ctx.Done() // which it is when the source ends
				<-leave
				returned = true
				return nil
			}))).Error().To(Succeed())
		stop := run(m)
		create(ctx, replica.Store(), newSite("a", 1))
		Eventually(entered).Should(BeClosed())
		time.AfterFunc(50*time.Millisecond, func() { close(leave) })
		stop()
		Expect(returned).To(BeTrue())
	}, SpecTimeout(time.Minute))

	DescribeTable("is refused if it cannot work with the controller", func(add func(*controller.Manager) error, complaint string) {
		Expect(add(m)).To(MatchError(ContainSubstring(complaint)))
	},
		Entry("no name", func(m *controller.Manager) error {
			_, err := controller.NewFor[*Site](m, "", new(names), controller.Options{})
			return err
		}, "name is missing"),
		Entry("no reconciler", func(m *controller.Manager) error {
			_, err := controller.NewFor[*Site](m, "c", nil, controller.Options{})
			return err
		}, "reconciler is nil"),
		Entry("no function", func(m *controller.Manager) error {
			_, err := controller.New[*Site](m, "c", nil, controller.Options{})
			return err
		}, "function is nil"),
		Entry("no sources", func(m *controller.Manager) error {
			_, err := controller.NewReconciler[int](m, "c", controller.ReconcilerFunc[int](nil), controller.Options{})
			return err
		}, "no sources"),
		Entry("Owns without an owner's kind", func(m *controller.Manager) error {
			_, err := controller.NewReconciler(m, "c", new(names), controller.Options{}, controller.Owns[*corev1.Pod]())
			return err
		}, "make the controller with New or NewFor"),
		Entry("For without a kind", func(m *controller.Manager) error {
			_, err := controller.NewReconciler(m, "c", new(names), controller.Options{}, controller.For[*corev1.Pod]())
			return err
		}, "make it with New or NewFor"),
		Entry("For of another kind", func(m *controller.Manager) error {
			_, err := controller.NewFor[*Site](m, "c", new(names), controller.Options{}, controller.For[*corev1.Pod]())
			return err
		}, "the controller is one for Site"),
		Entry("an unknown kind", func(m *controller.Manager) error {
			_, err := controller.NewFor[*store.Resource[int, int]](m, "c", new(names), controller.Options{})
			return err
		}, "not known to this store"),
		Entry("no mapping function", func(m *controller.Manager) error {
			_, err := controller.NewReconciler(m, "c", new(names), controller.Options{}, controller.WatchesEvents[*Site, controller.Request](nil))
			return err
		}, "names keys is nil"),
		Entry("an empty source", func(m *controller.Manager) error {
			_, err := controller.NewReconciler(m, "c", new(names), controller.Options{}, controller.Source[controller.Request]{})
			return err
		}, "source is empty"),
		Entry("no channel", func(m *controller.Manager) error {
			_, err := controller.NewReconciler(m, "c", new(names), controller.Options{}, controller.FromChannel[controller.Request](nil))
			return err
		}, "channel: it is nil"),
		Entry("no interval", func(m *controller.Manager) error {
			_, err := controller.NewReconciler(m, "c", new(names), controller.Options{},
				controller.Every(0, func(context.Context) []controller.Request { return nil }))
			return err
		}, "must be above 0"),
		Entry("no function for a timer", func(m *controller.Manager) error {
			_, err := controller.NewReconciler(m, "c", new(names), controller.Options{}, controller.Every[controller.Request](time.Hour, nil))
			return err
		}, "names keys is nil"),
		Entry("no interval to resync in", func(m *controller.Manager) error {
			_, err := controller.NewFor[*Site](m, "c", new(names), controller.Options{}, controller.Resync[*Site](-1))
			return err
		}, "must be above 0"),
		Entry("a kind to resync that is unknown", func(m *controller.Manager) error {
			_, err := controller.NewFor[*Site](m, "c", new(names), controller.Options{}, controller.Resync[*store.Resource[int, int]](time.Hour))
			return err
		}, "not known to this store"),
		Entry("no informer", func(m *controller.Manager) error {
			_, err := controller.NewReconciler(m, "c", new(names), controller.Options{},
				controller.WatchesInformerEvents[*Site](nil, func(context.Context, informer.Event[*Site]) []controller.Request { return nil }))
			return err
		}, "informer is nil"),
	)
})

func controllerRef(s *store.Store, owner store.Object) metav1.OwnerReference {
	GinkgoHelper()
	ref, err := s.OwnerReference(owner)
	Expect(err).NotTo(HaveOccurred(), fmt.Sprint(owner.GetName()))
	return ref
}
