package controller_test

import (
	"context"
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
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

func finalized(names ...string) func(*corev1.ConfigMap) {
	return func(cm *corev1.ConfigMap) { cm.Finalizers = names }
}

var _ = Describe("A transaction", func() {
	var (
		m   *controller.Manager
		log *logbook
	)

	BeforeEach(func() {
		log = new(logbook)
		m = newManager(controller.ManagerOptions{Log: log.logger()})
	})

	It("shows its own writes in Get, List and Owned, in the order of keys", func(ctx SpecContext) {
		labelled := func(obj *corev1.ConfigMap, value string) *corev1.ConfigMap {
			obj = obj.DeepCopy()
			obj.Labels = map[string]string{"l": value}
			return obj
		}
		in := func(namespace, name string) *corev1.ConfigMap {
			return labelled(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, "old")
		}
		held := in("default", "held")
		held.Finalizers = []string{"example.com/hold"}
		doomed := in("default", "doomed")
		doomed.Finalizers = []string{"example.com/last"}
		create(ctx, m.Store(), in("default", "c"), in("default", "g"), in("default-2", "x"), in("zone", "z"), held, doomed)
		Expect(m.Store().Delete(ctx, doomed.DeepCopy(), store.DeleteOptions{})).Error().NotTo(HaveOccurred())

		list := func(tx *controller.Tx, o informer.ListOptions) (keys []string) {
			for obj := range controller.List[*corev1.ConfigMap](tx, o) {
				keys = append(keys, obj.Namespace+"/"+obj.Name+"="+obj.Labels["l"])
			}
			return keys
		}
		get := func(tx *controller.Tx, name string) (*corev1.ConfigMap, bool) {
			return controller.Get[*corev1.ConfigMap](tx, store.Key{Namespace: "default", Name: name})
		}
		done := make(chan struct{})
		var shared *corev1.ConfigMap
		Expect(controller.New(m, "c", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			defer GinkgoRecover()
			defer close(done)
			a, d := in("default", "a"), in("default", "d")
			Expect(tx.Own(site, a)).To(Succeed())
			Expect(tx.Own(site, d)).To(Succeed())
			tx.Create(d)
			tx.Create(a)
			tx.Create(in("m", "m"))
			c, _ := get(tx, "c")
			tx.Update(labelled(c, "new"))
			g, _ := get(tx, "g")
			tx.Delete(g, store.DeleteOptions{})
			shown, _ := get(tx, "held")
			tx.Delete(shown, store.DeleteOptions{})
			shared = shown
			last, _ := get(tx, "doomed")
			last = last.DeepCopy()
			last.Finalizers = nil
			tx.Update(last)

			Expect(list(tx, informer.ListOptions{})).To(Equal([]string{
				"default-2/x=old", "default/a=old", "default/c=new", "default/d=old", "default/held=old", "m/m=old", "zone/z=old",
			}))
			Expect(list(tx, informer.ListOptions{Namespace: "default", Selector: labels.SelectorFromSet(labels.Set{"l": "new"})})).
				To(Equal([]string{"default/c=new"}))
			Expect(list(tx, informer.ListOptions{Selector: labels.SelectorFromSet(labels.Set{"l": "old"})})).NotTo(ContainElement(ContainSubstring("/c")))
			for obj := range controller.List[*corev1.ConfigMap](tx, informer.ListOptions{Namespace: "default"}) {
				Expect(obj.Name).To(Equal("a"))
				break
			}
			var owned []string
			for obj := range controller.Owned[*corev1.ConfigMap](tx, site) {
				owned = append(owned, obj.Name)
			}
			Expect(owned).To(Equal([]string{"a", "d"}))
			for name, there := range map[string]bool{"a": true, "g": false, "doomed": false, "held": true} {
				_, ok := get(tx, name)
				Expect(ok).To(Equal(there), name)
			}
			marked, _ := get(tx, "held")
			Expect(marked.DeletionTimestamp).NotTo(BeNil())
			return controller.Result{}, nil
		}, controller.Options{}, controller.Owns(informer.Or[*corev1.ConfigMap]()))).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(done).Should(BeClosed())
		Eventually(func() []string {
			all, err := store.List[*corev1.ConfigMap](ctx, m.Store(), store.ListOptions{})
			Expect(err).NotTo(HaveOccurred())
			var keys []string
			for _, obj := range all.Items {
				keys = append(keys, obj.Namespace+"/"+obj.Name+"="+obj.Labels["l"])
			}
			return keys
		}).Should(Equal([]string{
			"default-2/x=old", "default/a=old", "default/c=new", "default/d=old", "default/held=old", "m/m=old", "zone/z=old",
		}))
		Expect(shared.DeletionTimestamp).To(BeNil(), "objects of a snapshot never change")
	}, SpecTimeout(time.Minute))

	DescribeTable("lists all that was there when the iteration began, whatever is written meanwhile", func(ctx SpecContext, writeBefore bool) {
		m := newManager(controller.ManagerOptions{})
		create(ctx, m.Store(), newConfigMap("a"), newConfigMap("b"), newConfigMap("c"))
		Expect(informer.For[*corev1.ConfigMap](m.Replica())).Error().NotTo(HaveOccurred())
		var names []string
		newTxBench(ctx, m).do(ctx, func(tx *controller.Tx, _ *Site) {
			if writeBefore {
				tx.Create(newConfigMap("before"))
			}
			for cm := range controller.List[*corev1.ConfigMap](tx, informer.ListOptions{}) {
				if names = append(names, cm.Name); cm.Name != "a" {
					continue
				}
				tx.Create(newConfigMap("bb"))
				for name, change := range map[string]func(store.Object){
					"b": tx.Update, "c": func(obj store.Object) { tx.Delete(obj, store.DeleteOptions{}) },
				} {
					ahead, _ := controller.Get[*corev1.ConfigMap](tx, store.Key{Namespace: "default", Name: name})
					change(ahead.DeepCopy())
				}
			}
			names = slices.DeleteFunc(names, func(name string) bool { return name == "before" })
		})
		Expect(names).To(Equal([]string{"a", "b", "c"}))
	},
		Entry("with nothing written before", false, SpecTimeout(time.Minute)),
		Entry("with a write before", true, SpecTimeout(time.Minute)),
	)

	DescribeTable("shows an object that it deletes as the commit leaves it", func(ctx SpecContext, before func(*corev1.ConfigMap), marked bool, o store.DeleteOptions) {
		m := newManager(controller.ManagerOptions{})
		cm := newConfigMap("x")
		before(cm)
		create(ctx, m.Store(), cm)
		if marked {
			Expect(m.Store().Delete(ctx, cm.DeepCopy(), store.DeleteOptions{GracePeriodSeconds: 10})).Error().NotTo(HaveOccurred())
		}
		Expect(informer.For[*corev1.ConfigMap](m.Replica())).Error().NotTo(HaveOccurred())
		var seen *corev1.ConfigMap
		newTxBench(ctx, m).do(ctx, func(tx *controller.Tx, _ *Site) {
			there, ok := controller.Get[*corev1.ConfigMap](tx, store.KeyOf(cm))
			Expect(ok).To(BeTrue())
			tx.Delete(there, o)
			seen, _ = controller.Get[*corev1.ConfigMap](tx, store.KeyOf(cm))
		})
		left, err := store.Get[*corev1.ConfigMap](ctx, m.Store(), store.KeyOf(cm))
		if apierrors.IsNotFound(err) {
			Expect(seen).To(BeNil())
			return
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(seen).NotTo(BeNil())
		seen = seen.DeepCopy()
		seen.ResourceVersion, seen.DeletionTimestamp = left.ResourceVersion, left.DeletionTimestamp // times differ by the clock
		Expect(seen).To(Equal(left))
	},
		Entry("at once", func(*corev1.ConfigMap) {}, false, store.DeleteOptions{}),
		Entry("with a finalizer", finalized("example.com/f"), false, store.DeleteOptions{}),
		Entry("with a grace period", func(*corev1.ConfigMap) {}, false, store.DeleteOptions{GracePeriodSeconds: 30}),
		Entry("with a longer grace period than it has", func(*corev1.ConfigMap) {}, true, store.DeleteOptions{GracePeriodSeconds: 30}),
		Entry("with a shorter grace period than it has", func(*corev1.ConfigMap) {}, true, store.DeleteOptions{GracePeriodSeconds: 3}),
		Entry("in the background, held by foreground deletion alone", finalized(metav1.FinalizerDeleteDependents), false,
			store.DeleteOptions{Propagation: metav1.DeletePropagationBackground}),
		Entry("in the background, held by another finalizer too", finalized(metav1.FinalizerDeleteDependents, "example.com/f"), false,
			store.DeleteOptions{Propagation: metav1.DeletePropagationBackground}),
		Entry("in the foreground", func(*corev1.ConfigMap) {}, false, store.DeleteOptions{Propagation: metav1.DeletePropagationForeground}),
		Entry("orphaning, after a foreground deletion", finalized(metav1.FinalizerDeleteDependents), true,
			store.DeleteOptions{Propagation: metav1.DeletePropagationOrphan}),
	)

	It("joins an update and a status update of one object", func(ctx SpecContext) {
		Expect(controller.New(m, "c", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			if site.Labels == nil {
				site.Labels = map[string]string{"seen": "yes"}
				site.Status.Ready = site.Spec.Replicas
				tx.Update(site)
				tx.UpdateStatus(site)
			}
			return controller.Result{}, nil
		}, controller.Options{})).Error().To(Succeed())
		run(m)
		Expect(m.Replica().WaitForSync(ctx)).To(Succeed()) // it has made its epoch key
		site := newSite("a", 5)
		rev, err := m.Store().Create(ctx, site)
		Expect(err).NotTo(HaveOccurred())
		Eventually(func(g Gomega) {
			got, err := store.Get[*Site](ctx, m.Store(), store.KeyOf(site))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got.Labels).To(HaveKeyWithValue("seen", "yes"))
			g.Expect(got.Status.Ready).To(Equal(int32(5)))
			g.Expect(got.ResourceVersion).To(Equal(store.FormatRevision(rev + 1)))
		}).Should(Succeed())
	}, SpecTimeout(time.Minute))

	// attempt has a reconcile called for the site "a" and, should the key come
	// back, does nothing then. The result tells whether it has.
	attempt := func(ctx context.Context, reconcile controller.TxFunc[*Site], sources ...controller.Source[controller.Request]) (again func() bool) {
		GinkgoHelper()
		var calls atomic.Int32
		Expect(controller.New(m, "c", func(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			if calls.Add(1) > 1 {
				return controller.Result{}, nil
			}
			return reconcile(ctx, tx, site)
		}, controller.Options{}, sources...)).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(calls.Load).Should(BeNumerically(">", 0))
		return func() bool { return calls.Load() > 1 }
	}

	It("can be committed by the reconcile function, once, and takes no write afterwards", func(ctx SpecContext) {
		var first, second atomic.Value
		again := attempt(ctx, func(ctx context.Context, tx *controller.Tx, _ *Site) (controller.Result, error) {
			tx.Create(newConfigMap("x"))
			first.Store(fmt.Sprint(tx.Commit(ctx)))
			second.Store(fmt.Sprint(tx.Commit(ctx)))
			tx.Create(newConfigMap("y"))
			return controller.Result{}, nil
		})
		Eventually(again).Should(BeTrue())
		Expect(first.Load()).To(Equal("<nil>"))
		Expect(second.Load()).To(ContainSubstring("committed already"))
		Expect(log.with("a write after Commit")).To(HaveLen(1))
		Expect(count[*corev1.ConfigMap](ctx, m.Store())).To(Equal(1))
	}, SpecTimeout(time.Minute))

	It("returns errors of the commit to the reconcile function that commits", func(ctx SpecContext) {
		invalid := make(chan error, 1)
		attempt(ctx, func(ctx context.Context, tx *controller.Tx, _ *Site) (controller.Result, error) {
			bad := newConfigMap("x")
			bad.Labels = map[string]string{"not a label": ""}
			tx.Create(bad)
			invalid <- tx.Commit(ctx)
			return controller.Result{}, nil // it has dealt with it
		})
		Eventually(invalid).Should(Receive(Satisfy(apierrors.IsInvalid)))
		Expect(log.with("failed")).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	for how, ignored := range map[string]bool{"returned": false, "ignored": true} {
		It("is repeated on a newer snapshot after a conflict that is "+how, func(ctx SpecContext) {
			var seen journal[string]
			once := informer.Operations[*Site](informer.Create)
			Expect(controller.New(m, "c", func(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
				seen.note(site.Annotations["by"])
				if seen.len() > 1 {
					return controller.Result{}, nil
				}
				other := site.DeepCopy()
				other.Annotations = map[string]string{"by": "another"}
				Expect(m.Store().Update(ctx, other)).Error().NotTo(HaveOccurred())
				site.Status.Ready = 99
				tx.UpdateStatus(site)
				tx.Create(newConfigMap("never"))
				err := tx.Commit(ctx)
				if ignored {
					err = nil
				}
				return controller.Result{RequeueAfter: time.Hour}, err
			}, controller.Options{}, controller.For(once))).Error().To(Succeed())
			run(m)
			site := newSite("a", 1)
			create(ctx, m.Store(), site)
			Eventually(seen.all).Should(Equal([]string{"", "another"}))
			got, err := store.Get[*Site](ctx, m.Store(), store.KeyOf(site))
			Expect(err).NotTo(HaveOccurred())
			Expect(got.Status.Ready).To(BeZero())
			Expect(count[*corev1.ConfigMap](ctx, m.Store())).To(BeZero())
			Expect(log.with("lost a race")).To(HaveLen(1))
			Expect(log.with("failed")).To(BeEmpty())
		}, SpecTimeout(time.Minute))
	}

	It("is repeated when an object that it creates exists, or one that it deletes has changed or gone", func(ctx SpecContext) {
		for _, obj := range []*corev1.ConfigMap{newConfigMap("changes"), newConfigMap("goes")} {
			create(ctx, m.Store(), obj)
		}
		never := controller.WatchesEvents(func(context.Context, informer.Event[*corev1.ConfigMap]) []controller.Request { return nil })
		var seen journal[string]
		Expect(controller.New(m, "c", func(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			defer GinkgoRecover()
			get := func(name string) (*corev1.ConfigMap, bool) {
				return controller.Get[*corev1.ConfigMap](tx, store.KeyOf(newConfigMap(name)))
			}
			_, appeared := get("appears")
			changes, _ := get("changes")
			goes, there := get("goes")
			switch {
			case !appeared:
				seen.note("creates")
				create(ctx, m.Store(), newConfigMap("appears"))
				tx.Create(newConfigMap("appears"))
			case changes != nil && changes.Data == nil:
				seen.note("deletes what changes")
				changed := changes.DeepCopy()
				changed.Data = map[string]string{"k": "v"}
				Expect(m.Store().Update(ctx, changed)).Error().NotTo(HaveOccurred())
				tx.Delete(changes, store.DeleteOptions{})
			case there:
				seen.note("deletes what goes")
				Expect(m.Store().Delete(ctx, goes.DeepCopy(), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
				tx.Delete(goes, store.DeleteOptions{})
			case changes != nil:
				seen.note("deletes whatever it is")
				changed := changes.DeepCopy()
				changed.Data = map[string]string{"k": "w"}
				Expect(m.Store().Update(ctx, changed)).Error().NotTo(HaveOccurred())
				tx.Delete(changes, store.DeleteOptions{ResourceVersion: "0"})
				return controller.Result{RequeueAfter: time.Nanosecond}, nil
			default:
				seen.note("done")
			}
			return controller.Result{}, nil
		}, controller.Options{}, never)).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(seen.all).Should(Equal([]string{
			"creates", "deletes what changes", "deletes what goes", "deletes whatever it is", "done",
		}))
		Expect(log.with("failed")).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("depends on the objects that must be unchanged or absent", func(ctx SpecContext) {
		create(ctx, m.Store(), newConfigMap("read"))
		never := controller.WatchesEvents(func(context.Context, informer.Event[*corev1.ConfigMap]) []controller.Request { return nil })
		var seen journal[string]
		Expect(controller.New(m, "c", func(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			read, _ := controller.Get[*corev1.ConfigMap](tx, store.KeyOf(newConfigMap("read")))
			_, appeared := controller.Get[*corev1.ConfigMap](tx, store.KeyOf(newConfigMap("absent")))
			seen.note(fmt.Sprint(read.Data["k"], appeared))
			tx.Unchanged(read)
			switch seen.len() {
			case 1:
				changed := read.DeepCopy()
				changed.Data = map[string]string{"k": "v"}
				Expect(m.Store().Update(ctx, changed)).Error().NotTo(HaveOccurred())
			case 2:
				create(ctx, m.Store(), newConfigMap("absent"))
				tx.Absent(newConfigMap("absent"))
			}
			site.Status.Ready = int32(seen.len())
			tx.UpdateStatus(site)
			return controller.Result{}, nil
		}, controller.Options{}, never, controller.For(informer.GenerationChanged[*Site]()))).Error().To(Succeed())
		run(m)
		site := newSite("a", 1)
		create(ctx, m.Store(), site)
		Eventually(func() int32 {
			got, err := store.Get[*Site](ctx, m.Store(), store.KeyOf(site))
			Expect(err).NotTo(HaveOccurred())
			return got.Status.Ready
		}).Should(Equal(int32(3)))
		Expect(seen.all()).To(Equal([]string{"false", "vfalse", "vtrue"}))
	}, SpecTimeout(time.Minute))

	It("is repeated after the backoff, not the requested pause, when the commit fails", func(ctx SpecContext) {
		clock := new(hastyClock)
		m = newManager(controller.ManagerOptions{Clock: clock, Log: log.logger()})
		again := attempt(ctx, func(_ context.Context, tx *controller.Tx, _ *Site) (controller.Result, error) {
			bad := newConfigMap("x")
			bad.Labels = map[string]string{"not a label": ""}
			tx.Create(bad)
			return controller.Result{RequeueAfter: time.Hour}, nil
		})
		Eventually(again).Should(BeTrue())
		Expect(clock.pauses.all()).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("fails when it reads a kind that is not in the replica, and succeeds the next time", func(ctx SpecContext) {
		var seen journal[int]
		Expect(controller.New(m, "c", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			seen.note(len(slices.Collect(controller.List[*corev1.ConfigMap](tx, informer.ListOptions{}))))
			if _, ok := controller.Get[*corev1.ConfigMap](tx, store.KeyOf(newConfigMap("x"))); !ok {
				tx.Create(newConfigMap("must-not-be"))
			}
			return controller.Result{}, nil
		}, controller.Options{BackoffBase: 100 * time.Millisecond})).Error().To(Succeed())
		create(ctx, m.Store(), newConfigMap("x"))
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(seen.all).Should(ContainElement(1))
		Expect(seen.all()[0]).To(Equal(0))
		Expect(log.with("name it in a source")).NotTo(BeEmpty())
		Expect(count[*corev1.ConfigMap](ctx, m.Store())).To(Equal(1))
	}, SpecTimeout(time.Minute))

	It("names a kind that the store does not know", func(ctx SpecContext) {
		again := attempt(ctx, func(_ context.Context, tx *controller.Tx, _ *Site) (controller.Result, error) {
			controller.Get[*store.Resource[int, int]](tx, store.Key{Namespace: "default", Name: "x"})
			return controller.Result{}, nil
		})
		Eventually(again).Should(BeTrue())
		Expect(log.with("not known to this store")).To(HaveLen(1))
	}, SpecTimeout(time.Minute))

	It("fails and writes nothing when it is too large for etcd", func(ctx SpecContext) {
		again := attempt(ctx, func(_ context.Context, tx *controller.Tx, _ *Site) (controller.Result, error) {
			for i := range store.MaxTxnOps + 1 {
				tx.Create(newConfigMap(fmt.Sprint("x-", i)))
			}
			return controller.Result{}, nil
		})
		Eventually(again).Should(BeTrue())
		Expect(log.with("but etcd accepts 128")).To(HaveLen(1))
		Expect(count[*corev1.ConfigMap](ctx, m.Store())).To(BeZero())
	}, SpecTimeout(time.Minute))

	It("makes its object the owner of objects in its namespace without another controller", func(ctx SpecContext) {
		other := newDeployment("other")
		create(ctx, m.Store(), other)
		done := make(chan struct{})
		Expect(controller.New(m, "c", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			defer GinkgoRecover()
			defer close(done)
			child := newConfigMap("x")
			plain := controllerRef(m.Store(), site)
			plain.Controller = nil
			child.OwnerReferences = []metav1.OwnerReference{plain}
			for range 2 { // the second time changes nothing
				Expect(tx.Own(site, child)).To(Succeed())
				Expect(child.OwnerReferences).To(HaveLen(1))
				Expect(metav1.IsControlledBy(child, site)).To(BeTrue())
			}
			taken := newConfigMap("y")
			taken.OwnerReferences = []metav1.OwnerReference{controllerRef(m.Store(), other)}
			Expect(tx.Own(site, taken)).To(MatchError(ContainSubstring("own default/y: it is controlled by Deployment other with uid %s, ", other.UID)))
			elsewhere := newConfigMap("z")
			elsewhere.Namespace = "elsewhere"
			Expect(tx.Own(site, elsewhere)).To(MatchError(ContainSubstring("another namespace")))
			Expect(tx.Own(newSite("new", 1), newConfigMap("z"))).To(MatchError(ContainSubstring("no uid yet")))
			Expect(tx.Own(&store.Resource[int, int]{}, newConfigMap("z"))).To(MatchError(ContainSubstring("not known")))
			return controller.Result{}, nil
		}, controller.Options{})).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(done).Should(BeClosed())
	}, SpecTimeout(time.Minute))

	It("reports an object that cannot be created because an undecodable one has its name", func(ctx SpecContext) {
		clock := new(hastyClock)
		m = newManager(controller.ManagerOptions{Clock: clock, Log: log.logger()})
		Expect(etcd.Client().Put(ctx, m.Store().Prefix()+"core/configmaps/default/x", "gibberish")).Error().NotTo(HaveOccurred())
		never := controller.WatchesEvents(func(context.Context, informer.Event[*corev1.ConfigMap]) []controller.Request { return nil })
		Expect(controller.New(m, "c", func(_ context.Context, tx *controller.Tx, _ *Site) (controller.Result, error) {
			if _, ok := controller.Get[*corev1.ConfigMap](tx, store.KeyOf(newConfigMap("x"))); !ok {
				tx.Create(newConfigMap("x"))
			}
			return controller.Result{}, nil
		}, controller.Options{BackoffBase: time.Minute, BackoffMax: time.Minute}, never)).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(func() []string { return log.with("again and again") }).ShouldNot(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("does not update an object that was deleted and created again", func(ctx SpecContext) {
		site := newSite("a", 1)
		var results journal[string]
		Expect(controller.New(m, "c", func(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			if site.Spec.Replicas != 1 {
				results.note("looked again")
				return controller.Result{}, nil
			}
			Expect(m.Store().Delete(ctx, site.DeepCopy(), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
			create(ctx, m.Store(), newSite("a", 2))
			site.Spec.Replicas = 7
			tx.Update(site)
			err := tx.Commit(ctx)
			results.note(fmt.Sprint("conflict ", apierrors.IsConflict(err)))
			return controller.Result{}, err
		}, controller.Options{})).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), site)
		Eventually(results.len).Should(BeNumerically(">", 1))
		Expect(results.all()[:2]).To(Equal([]string{"conflict true", "looked again"}))
		got, err := store.Get[*Site](ctx, m.Store(), store.KeyOf(site))
		Expect(err).NotTo(HaveOccurred())
		Expect(got.Spec.Replicas).To(Equal(int32(2)))
	}, SpecTimeout(time.Minute))

	It("is not started for an object that is gone", func(ctx SpecContext) {
		var seen journal[string]
		Expect(controller.New(m, "c", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			seen.note(site.Name)
			return controller.Result{}, nil
		}, controller.Options{}, controller.Owns[*appsv1.Deployment]())).Error().To(Succeed())
		run(m)
		a := newSite("a", 1)
		create(ctx, m.Store(), a)
		Eventually(seen.len).Should(Equal(1))
		Expect(m.Store().Delete(ctx, a, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		create(ctx, m.Store(), newSite("b", 1))
		Eventually(seen.all).Should(Equal([]string{"a", "b"}))
	}, SpecTimeout(time.Minute))
})
