package controller_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubetypes "k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// A retry after a failure would hide what a spec looks for, so here none comes.
var noRetry = controller.Options{BackoffBase: time.Hour, BackoffMax: time.Hour}

var _ = Describe("A name that another object holds", func() {
	var (
		m     *controller.Manager
		sites *controller.Controller[controller.Request]
		errs  *journal[string] // of each reconcile, "" for none
	)
	key := controller.Request{Key: store.Key{Namespace: "default", Name: "a"}}
	create := func(ctx context.Context, objects ...store.Object) {
		GinkgoHelper()
		create(ctx, m.Store(), objects...)
	}
	// It has no source for ConfigMaps: nothing but the wait reports them.
	begin := func(reconcile controller.TxFunc[*Site], sources ...controller.Source[controller.Request]) {
		GinkgoHelper()
		m, errs = newManager(controller.ManagerOptions{}), &journal[string]{}
		Expect(informer.For[*corev1.ConfigMap](m.Replica())).Error().NotTo(HaveOccurred())
		var err error
		sites, err = controller.New(m, "c", func(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			result, err := reconcile(ctx, tx, site)
			if err == nil {
				err = tx.Commit(ctx)
			}
			errs.note(textOf(err))
			return result, err
		}, noRetry, append(sources, controller.For[*Site](informer.GenerationChanged[*Site]()))...)
		Expect(err).NotTo(HaveOccurred())
	}
	applyChild := func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
		child := newConfigMap("child")
		child.Data = map[string]string{"by": string(site.UID)}
		site.Status.Ready++
		tx.UpdateStatus(site)
		_, err := controller.Apply(tx, site, child)
		return controller.Result{}, err
	}
	held := func(owner *metav1.OwnerReference) *corev1.ConfigMap {
		child := newConfigMap("child")
		child.Finalizers = []string{"example.com/hold"}
		if owner != nil {
			child.OwnerReferences = []metav1.OwnerReference{*owner}
		}
		return child
	}
	// of is a reference to a site that is not there any more.
	of := func(name string) *metav1.OwnerReference {
		yes := true
		return &metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "Site", Name: name, UID: kubetypes.UID("old-" + name), Controller: &yes}
	}
	del := func(ctx context.Context, obj store.Object) {
		GinkgoHelper()
		Expect(m.Store().Delete(ctx, obj, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
	}
	change := func(ctx context.Context, change func(*corev1.ConfigMap)) {
		GinkgoHelper()
		_, _, err := store.Mutate(ctx, m.Store(), store.KeyOf(newConfigMap("child")), func(m *corev1.ConfigMap) error { change(m); return nil })
		Expect(err).NotTo(HaveOccurred())
	}
	release := func(ctx context.Context) {
		GinkgoHelper()
		change(ctx, func(m *corev1.ConfigMap) { m.Finalizers = nil })
	}
	ready := func(ctx context.Context) int32 {
		GinkgoHelper()
		site, err := store.Get[*Site](ctx, m.Store(), key.Key)
		Expect(err).NotTo(HaveOccurred())
		return site.Status.Ready
	}
	madeBy := func(ctx context.Context) string {
		child, err := store.Get[*corev1.ConfigMap](ctx, m.Store(), store.KeyOf(newConfigMap("child")))
		if err != nil {
			return err.Error()
		}
		return child.Data["by"]
	}

	DescribeTable("is free when that object, which is being deleted, is gone", func(ctx SpecContext, owner func() *metav1.OwnerReference) {
		begin(applyChild)
		site, child := newSite("a", 1), held(owner())
		create(ctx, child)
		del(ctx, child)
		create(ctx, site)
		run(m)
		Eventually(errs.all).Should(Equal([]string{""}), "it waits, and does not fail")
		Expect(ready(ctx)).To(Equal(int32(1)), "the other writes went through")
		Expect(sites.KeyState(key).Failures).To(BeZero())

		release(ctx)
		Eventually(ctx, madeBy).WithContext(ctx).Should(Equal(string(site.UID)))
		Eventually(errs.all).Should(Equal([]string{"", ""}))
		Expect(ready(ctx)).To(Equal(int32(2)))
	},
		Entry("of nobody", func() *metav1.OwnerReference { return nil }),
		Entry("of another owner", func() *metav1.OwnerReference { return of("other") }),
		Entry("of an earlier owner of the same name", func() *metav1.OwnerReference { return of("a") }),
	)

	It("is free when that object was replaced before the wait began", func(ctx SpecContext) {
		once := true
		begin(func(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			result, err := applyChild(ctx, tx, site)
			if once {
				once = false
				release(ctx)
				create(ctx, newConfigMap("child"))
				Expect(m.Replica().WaitForRevision(ctx, must(m.Store().Revision(ctx)))).To(Succeed())
			}
			return result, err
		})
		site := newSite("a", 1)
		child := held(of("other"))
		create(ctx, child, site)
		del(ctx, child)
		run(m)
		Eventually(ctx, madeBy).WithContext(ctx).Should(Equal(string(site.UID)), "it took over the new one")
	}, SpecTimeout(time.Minute))

	It("wakes all who wait for it, and again those who still do", func(ctx SpecContext) {
		begin(applyChild)
		child := held(of("other"))
		create(ctx, child, newSite("a", 1), newSite("b", 1))
		del(ctx, child)
		run(m)
		Eventually(errs.all).Should(Equal([]string{"", ""}))
		change(ctx, func(m *corev1.ConfigMap) { m.OwnerReferences = []metav1.OwnerReference{*of("third")} })
		Eventually(errs.all).Should(Equal([]string{"", "", "", ""}))
		release(ctx)
		Eventually(ctx, errs.len).Should(BeNumerically(">=", 6))
	}, SpecTimeout(time.Minute))

	It("is an error while that object lives, which its deletion ends", func(ctx SpecContext) {
		begin(applyChild)
		site := newSite("a", 1)
		create(ctx, held(of("a")), site)
		run(m)
		Eventually(errs.all).Should(HaveExactElements(And(
			ContainSubstring("controlled by Site a with uid old-a"), ContainSubstring("not by Site a with uid "+string(site.UID)))))
		Expect(ready(ctx)).To(BeZero())

		del(ctx, newConfigMap("child"))
		Eventually(ctx, ready).WithContext(ctx).Should(Equal(int32(1)))
		Eventually(errs.all).Should(HaveExactElements(Not(BeEmpty()), BeEmpty()))
		release(ctx)
		Eventually(ctx, madeBy).WithContext(ctx).Should(Equal(string(site.UID)))
	}, SpecTimeout(time.Minute))

	DescribeTable("ends a backoff of a transaction that cannot have it", func(ctx SpecContext, write func(*controller.Tx)) {
		begin(func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			site.Status.Ready++
			tx.UpdateStatus(site)
			write(tx)
			return controller.Result{}, nil
		})
		child := held(nil)
		create(ctx, child, newSite("a", 1))
		del(ctx, child)
		run(m)
		Eventually(errs.all).Should(HaveExactElements(ContainSubstring("the snapshot was outdated")))
		release(ctx)
		Eventually(ctx, ready).WithContext(ctx).Should(Equal(int32(1)))
	},
		Entry("Create", func(tx *controller.Tx) { tx.Create(newConfigMap("child")) }),
		Entry("Absent", func(tx *controller.Tx) { tx.Absent(newConfigMap("child")) }),
	)
})

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
