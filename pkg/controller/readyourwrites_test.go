package controller_test

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// The reconciler counts children in its snapshot, creates missing ones under generated
// names, and deletes surplus ones. It goes wrong on any snapshot that lacks its own
// writes. These specs hold the manager's watch back while writes succeed, and requeue
// the key in every other way.
var _ = Describe("A reconcile reads its own writes", func() {
	var (
		slow   *faults
		m      *controller.Manager
		nudge  func(ctx context.Context) // enqueues the key in spite of the held watch
		others controller.Source[controller.Request]
		maps   *informer.Informer[*corev1.ConfigMap] // for the base form
		calls  atomic.Int32
	)
	site := store.Key{Namespace: "default", Name: "a"}

	BeforeEach(func(ctx SpecContext) {
		slow = newFaulty(etcd)
		m = newManagerOn(newStore(slow.client), controller.ManagerOptions{})
		calls.Store(0)
		nudge, others = newNudge(ctx, site)
	})

	// children are the ones that the reconcile sees.
	var children func() []*corev1.ConfigMap
	owned := func(obj *corev1.ConfigMap) bool { return obj.Labels["site"] == site.Name }
	newChild := func() *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", GenerateName: "a-", Labels: map[string]string{"site": "a"},
		}}
	}

	// base and transactional are the two forms of one reconciler.
	base := func(reconcile func(ctx context.Context, have []*corev1.ConfigMap) error) {
		var err error
		maps, err = informer.For[*corev1.ConfigMap](m.Replica())
		Expect(err).NotTo(HaveOccurred())
		children = func() []*corev1.ConfigMap {
			return slices.Collect(maps.List(m.Replica().Snapshot(), informer.ListOptions{}))
		}
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(ctx context.Context, _ controller.Request) (controller.Result, error) {
				calls.Add(1)
				return controller.Result{RequeueAfter: time.Millisecond}, reconcile(ctx, children())
			}), controller.Options{Workers: 4}, others)).Error().To(Succeed())
	}

	It("when it creates, in the base form", func(ctx SpecContext) {
		base(func(ctx context.Context, have []*corev1.ConfigMap) error {
			if len(have) < 3 {
				_, err := m.Store().Create(ctx, newChild())
				return err
			}
			return nil
		})
		run(m)
		create(ctx, m.Store(), newSite("a", 3))
		Eventually(calls.Load).Should(BeNumerically(">", 3))
		Eventually(func() int { return count[*corev1.ConfigMap](ctx, m.Store()) }).Should(Equal(3))

		// The watch falls behind: no reconcile may begin after one that wrote.
		slow.hold()
		victim := slices.Collect(maps.List(m.Replica().Snapshot(), informer.ListOptions{}))[0]
		Expect(m.Store().Delete(ctx, victim.DeepCopy(), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		nudge(ctx)
		slow.release()
		Eventually(func() int { return count[*corev1.ConfigMap](ctx, m.Store()) }).Should(Equal(3))
		before := calls.Load()
		Eventually(calls.Load).Should(BeNumerically(">", before+3))
		Expect(count[*corev1.ConfigMap](ctx, m.Store())).To(Equal(3))
	}, SpecTimeout(time.Minute))

	It("when it creates while the watch is held back", func(ctx SpecContext) {
		base(func(ctx context.Context, have []*corev1.ConfigMap) error {
			if len(have) == 0 {
				slow.hold() // from before the write, until the end of the spec
				_, err := m.Store().Create(ctx, newChild())
				return err
			}
			return nil
		})
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(calls.Load).Should(Equal(int32(1)))
		nudge(ctx)
		Expect(calls.Load()).To(Equal(int32(1)))
		Eventually(func() int { return count[*corev1.ConfigMap](ctx, m.Store()) }).Should(Equal(1))
		slow.release()
		Eventually(calls.Load).Should(BeNumerically(">", 2))
		Expect(count[*corev1.ConfigMap](ctx, m.Store())).To(Equal(1))
	}, SpecTimeout(time.Minute))

	It("when it creates in a transaction", func(ctx SpecContext) {
		Expect(controller.New(m, "c", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			calls.Add(1)
			missing := int(site.Spec.Replicas) - len(slices.Collect(controller.Owned[*corev1.ConfigMap](tx, site)))
			for range missing {
				slow.hold()
				child := newChild()
				Expect(tx.Own(site, child)).To(Succeed())
				tx.Create(child)
			}
			return controller.Result{RequeueAfter: time.Millisecond}, nil
		}, controller.Options{}, others, controller.Owns[*corev1.ConfigMap]())).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 3))
		Eventually(calls.Load).Should(Equal(int32(1)))
		nudge(ctx)
		Expect(calls.Load()).To(Equal(int32(1)))
		slow.release()
		Eventually(calls.Load).Should(BeNumerically(">", 2))
		Expect(count[*corev1.ConfigMap](ctx, m.Store())).To(Equal(3))
	}, SpecTimeout(time.Minute))

	It("when it deletes", func(ctx SpecContext) {
		for range 3 {
			create(ctx, m.Store(), newChild())
		}
		var errs journal[error]
		base(func(ctx context.Context, have []*corev1.ConfigMap) error {
			if have = slices.DeleteFunc(have, func(o *corev1.ConfigMap) bool { return !owned(o) }); len(have) <= 1 {
				return nil
			}
			slow.hold()
			_, err := m.Store().Delete(ctx, have[0].DeepCopy(), store.DeleteOptions{})
			errs.note(err)
			return err
		})
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(calls.Load).Should(Equal(int32(1)))
		nudge(ctx)
		Expect(calls.Load()).To(Equal(int32(1)))
		slow.release()
		Eventually(errs.len).Should(Equal(2))
		slow.release()
		before := calls.Load()
		Eventually(calls.Load).Should(BeNumerically(">", before+2))
		Expect(errs.all()).To(HaveEach(BeNil()))
		Expect(count[*corev1.ConfigMap](ctx, m.Store())).To(Equal(1))
	}, SpecTimeout(time.Minute))

	It("when the outcome of a write is unknown, and etcd does not answer at first", func(ctx SpecContext) {
		base(func(ctx context.Context, have []*corev1.ConfigMap) error {
			if len(have) > 0 {
				return nil
			}
			slow.hold()
			slow.loseAnswers("Txn", 1)
			slow.loseAnswers("Range", 4) // one for the write itself, three for the gate
			_, err := m.Store().Create(ctx, newChild())
			Expect(store.IsUnknownOutcome(err)).To(BeTrue())
			return nil // the reconciler ignores the error
		})
		create(ctx, m.Store(), newSite("a", 1)) // before it runs: the answer that gets lost is the reconcile's
		run(m)
		Eventually(calls.Load).Should(Equal(int32(1)))
		nudge(ctx)
		Expect(calls.Load()).To(Equal(int32(1)))
		slow.release()
		Eventually(calls.Load).Should(BeNumerically(">", 2))
		Expect(count[*corev1.ConfigMap](ctx, m.Store())).To(Equal(1))
	}, SpecTimeout(time.Minute))

	It("and the write that it lost a race to", func(ctx SpecContext) {
		var seen journal[string]
		Expect(controller.New(m, "c", func(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			seen.note(site.Labels["by"])
			if site.Labels["by"] == "" {
				slow.hold()
				other := site.DeepCopy()
				other.Labels = map[string]string{"by": "another"}
				Expect(newStoreLike(m.Store()).Update(ctx, other)).Error().NotTo(HaveOccurred())
				site.Status.Ready = 1
				tx.UpdateStatus(site)
			}
			return controller.Result{}, nil
		}, controller.Options{}, others)).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(seen.len).Should(Equal(1))
		nudge(ctx)
		Expect(seen.all()).To(Equal([]string{""}))
		slow.release()
		Eventually(seen.len).Should(BeNumerically(">", 1))
		Expect(seen.all()[1:]).To(HaveEach("another"))
	}, SpecTimeout(time.Minute))

	// Nothing tells a replica of a loss that begins behind what it has seen.
	for how, left := range map[string]int{"behind the replica": 0, "between the replica and them": 10} {
		It("and a key is not lost when etcd goes back to a revision "+how, func(ctx SpecContext) {
			cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
			link, err := cluster.Member(0).NewLink()
			Expect(err).NotTo(HaveOccurred())
			slow = newFaulty(cluster, link.Endpoint())
			m = newManagerOn(newStore(slow.client), controller.ManagerOptions{})
			wrote := make(chan struct{})
			base(func(ctx context.Context, _ []*corev1.ConfigMap) error {
				if calls.Load() > 1 {
					return nil
				}
				defer close(wrote)
				slow.hold()
				for range 50 { // far ahead of what comes after
					Expect(m.Store().Create(ctx, newChild())).Error().NotTo(HaveOccurred())
				}
				return nil
			})
			run(m)
			create(ctx, m.Store(), newSite("a", 1))
			Eventually(wrote).Should(BeClosed())

			link.Cut()
			Expect(cluster.Wipe(ctx)).To(Succeed())
			for range left {
				Expect(cluster.Client().Put(ctx, "/elsewhere", "x")).Error().NotTo(HaveOccurred())
			}
			slow.drop()
			link.Heal()
			Eventually(func() error { _, err := m.Store().Create(ctx, newSite("a", 1)); return err }).Should(Succeed())
			Eventually(calls.Load).Should(BeNumerically(">", 2))
		}, SpecTimeout(40*time.Second))
	}
})

// newNudge returns a source on a replica of its own, which a held watch does not
// affect. Each nudge enqueues the key several times, and returns when that is done.
func newNudge(ctx context.Context, key store.Key) (func(context.Context), controller.Source[controller.Request]) {
	GinkgoHelper()
	replica := informer.NewReplica(newStore(etcd.Client()), informer.Options{OnMutation: failOnMutation})
	sites, err := informer.For[*Site](replica)
	Expect(err).NotTo(HaveOccurred())
	replicaCtx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = replica.Run(replicaCtx) }()
	DeferCleanup(func() { cancel(); <-ended })

	var received atomic.Int32
	source := controller.WatchesInformerEvents(sites, func(context.Context, informer.Event[*Site]) []controller.Request {
		received.Add(1)
		return []controller.Request{{Key: key}}
	})
	nudge := func(ctx context.Context) {
		GinkgoHelper()
		for range 10 {
			before := received.Load()
			create(ctx, replica.Store(), &Site{ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "nudge-"}})
			Eventually(received.Load).Should(BeNumerically(">", before))
		}
	}
	return nudge, source
}

// newStoreLike returns a store of the same objects on the suite's own client.
func newStoreLike(s *store.Store) *store.Store {
	GinkgoHelper()
	like, err := store.New(etcd.Client(), store.Options{Prefix: s.Prefix(), Kinds: []store.AnyKind{siteKind}})
	Expect(err).NotTo(HaveOccurred())
	return like
}
