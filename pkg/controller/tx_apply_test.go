package controller_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("Apply", func() {
	var (
		m *controller.Manager
		b *txBench
	)

	BeforeEach(func(ctx SpecContext) {
		s, err := store.New(etcd.Client(), store.Options{
			Scheme: scheme.Scheme,
			Prefix: fmt.Sprintf("/spec-%d/", time.Now().UnixNano()),
			Kinds: []store.AnyKind{siteKind, store.Kind[*appsv1.Deployment]{Default: func(d *appsv1.Deployment) {
				for i := range d.Spec.Template.Spec.Containers {
					if c := &d.Spec.Template.Spec.Containers[i]; c.ImagePullPolicy == "" {
						c.ImagePullPolicy = corev1.PullAlways
					}
				}
			}}},
		})
		Expect(err).NotTo(HaveOccurred())
		m = newManagerOn(s, controller.ManagerOptions{})
		b = newTxBench(context.WithoutCancel(ctx), m,
			controller.WatchesEvents(func(context.Context, informer.Event[*corev1.ConfigMap]) []controller.Request { return nil }),
			controller.WatchesEvents(func(context.Context, informer.Event[*corev1.Secret]) []controller.Request { return nil }),
			controller.WatchesEvents(func(context.Context, informer.Event[*appsv1.Deployment]) []controller.Request { return nil }))
	})

	config := func(name string, data ...string) *corev1.ConfigMap {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{}}
		for i := 0; i < len(data); i += 2 {
			m.Data[data[i]] = data[i+1]
		}
		return m
	}
	web := func(image string) *appsv1.Deployment {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{"app": "web"}}}
		d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "web", Image: image}}
		return d
	}
	apply := func(ctx context.Context, maps ...*corev1.ConfigMap) (applied []*corev1.ConfigMap) {
		GinkgoHelper()
		b.do(ctx, func(tx *controller.Tx, site *Site) {
			var err error
			applied, err = controller.Apply(tx, site, maps...)
			Expect(err).NotTo(HaveOccurred())
		})
		return applied
	}
	there := func(ctx context.Context) (names []string) {
		GinkgoHelper()
		list, err := store.List[*corev1.ConfigMap](ctx, m.Store(), store.ListOptions{Namespace: "default"})
		Expect(err).NotTo(HaveOccurred())
		for _, m := range list.Items {
			names = append(names, m.Name)
		}
		return names
	}
	get := func(ctx context.Context, name string) *corev1.ConfigMap {
		GinkgoHelper()
		got, err := store.Get[*corev1.ConfigMap](ctx, m.Store(), store.Key{Namespace: "default", Name: name})
		Expect(err).NotTo(HaveOccurred())
		return got
	}
	mutate := func(ctx context.Context, name string, change func(*corev1.ConfigMap)) {
		GinkgoHelper()
		_, _, err := store.Mutate(ctx, m.Store(), store.Key{Namespace: "default", Name: name}, func(m *corev1.ConfigMap) error {
			change(m)
			return nil
		})
		Expect(err).NotTo(HaveOccurred())
	}

	It("creates, updates and prunes, and writes nothing when nothing differs", func(ctx SpecContext) {
		create(ctx, m.Store(), newConfigMap("of-nobody"))
		declared := config("a", "k", "v")
		apply(ctx, declared, config("b"))
		Expect(declared).To(Equal(config("a", "k", "v")), "it may be declared again")
		Expect(there(ctx)).To(Equal([]string{"a", "b", "of-nobody"}))
		Expect(metav1.IsControlledBy(get(ctx, "a"), b.site)).To(BeTrue())

		applied := apply(ctx, config("c"), config("a", "k", "w"))
		Expect(there(ctx)).To(Equal([]string{"a", "c", "of-nobody"}))
		Expect(get(ctx, "a").Data).To(Equal(map[string]string{"k": "w"}))
		Expect(applied).To(HaveExactElements(HaveField("Name", "c"), HaveField("Data", HaveKeyWithValue("k", "w"))))

		before := get(ctx, "a").ResourceVersion
		apply(ctx, config("a", "k", "w"), config("c"))
		Expect(get(ctx, "a").ResourceVersion).To(Equal(before))
		apply(ctx)
		Expect(there(ctx)).To(Equal([]string{"of-nobody"}))
		apply(ctx)
	}, SpecTimeout(time.Minute))

	It("sends nothing to etcd when nothing differs, defaults included", func(ctx SpecContext) {
		both := func(ctx context.Context, tx *controller.Tx, site *Site) error {
			tx.AllowSplit()
			_, err := controller.Apply(tx, site, web("nginx"))
			Expect(err).NotTo(HaveOccurred())
			_, err = controller.Apply(tx, site, config("a", "k", "v"))
			Expect(err).NotTo(HaveOccurred())
			return nil
		}
		Expect(b.try(ctx, both)).To(Succeed())
		d, err := store.Get[*appsv1.Deployment](ctx, m.Store(), store.Key{Namespace: "default", Name: "web"})
		Expect(err).NotTo(HaveOccurred())
		Expect(d.Spec.Template.Spec.Containers[0].ImagePullPolicy).To(Equal(corev1.PullAlways))
		Expect(d.Generation).To(Equal(int64(1)))

		var asked int
		Expect(b.try(ctx, func(ctx context.Context, tx *controller.Tx, site *Site) error {
			Expect(both(ctx, tx, site)).To(Succeed())
			// Even the commit of an empty transaction would tell.
			return tx.Commit(store.ObserveWrites(ctx, func(w store.Write) { asked += len(w.Keys) }))
		})).To(MatchError(ContainSubstring("committed already")))
		Expect(asked).To(BeZero())
	}, SpecTimeout(time.Minute))

	It("keeps fields of other writers and removes fields that are no longer declared", func(ctx SpecContext) {
		first := config("a", "ours", "1", "shared", "1")
		first.Labels = map[string]string{"ours": "1", "gone": "1"}
		apply(ctx, first)
		mutate(ctx, "a", func(m *corev1.ConfigMap) {
			m.Data["theirs"], m.Data["shared"] = "2", "2"
			m.Labels["theirs"] = "2"
			m.Annotations = map[string]string{"theirs": "2"}
			m.Finalizers = []string{"example.com/theirs"}
			m.OwnerReferences = append(m.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "p"})
		})
		second := config("a", "shared", "3", "new", "3")
		second.Labels = map[string]string{"ours": "3"}
		apply(ctx, second)
		got := get(ctx, "a")
		Expect(got.Data).To(Equal(map[string]string{"theirs": "2", "shared": "3", "new": "3"}))
		Expect(got.Labels).To(Equal(map[string]string{"ours": "3", "theirs": "2"}))
		Expect(got.Annotations).To(Equal(map[string]string{"theirs": "2"}))
		Expect(got.Finalizers).To(Equal([]string{"example.com/theirs"}))
		Expect(got.OwnerReferences).To(HaveLen(2))
		apply(ctx, config("a"))
		Expect(get(ctx, "a").Data).To(Equal(map[string]string{"theirs": "2"}))
	}, SpecTimeout(time.Minute))

	It("keeps and returns the status", func(ctx SpecContext) {
		applyWeb := func(image string) (applied []*appsv1.Deployment) {
			b.do(ctx, func(tx *controller.Tx, site *Site) {
				var err error
				d := web(image)
				d.Status.ReadyReplicas = 99 // is not declared
				applied, err = controller.Apply(tx, site, d)
				Expect(err).NotTo(HaveOccurred())
			})
			return applied
		}
		applyWeb("nginx")
		_, _, err := store.Mutate(ctx, m.Store(), store.Key{Namespace: "default", Name: "web"}, func(d *appsv1.Deployment) error {
			Expect(d.Status.ReadyReplicas).To(BeZero())
			d.Status.ReadyReplicas = 3
			return nil
		})
		Expect(err).NotTo(HaveOccurred())
		for _, image := range []string{"nginx", "httpd"} {
			applied := applyWeb(image)
			Expect(applied).To(HaveLen(1))
			Expect(applied[0].Status.ReadyReplicas).To(Equal(int32(3)))
			Expect(applied[0].Spec.Template.Spec.Containers[0].Image).To(Equal(image))
		}
	}, SpecTimeout(time.Minute))

	It("declares the stringData of a Secret as data", func(ctx SpecContext) {
		applySecret := func(text map[string]string) *corev1.Secret {
			GinkgoHelper()
			b.do(ctx, func(tx *controller.Tx, site *Site) {
				_, err := controller.Apply(tx, site, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "a"}, StringData: text})
				Expect(err).NotTo(HaveOccurred())
			})
			got, err := store.Get[*corev1.Secret](ctx, m.Store(), store.Key{Namespace: "default", Name: "a"})
			Expect(err).NotTo(HaveOccurred())
			return got
		}
		first := applySecret(map[string]string{"a": "1", "b": "2"})
		Expect(first.Data).To(Equal(map[string][]byte{"a": []byte("1"), "b": []byte("2")}))
		Expect(applySecret(map[string]string{"a": "1", "b": "2"}).ResourceVersion).To(Equal(first.ResourceVersion))
		Expect(applySecret(map[string]string{"a": "3"}).Data).To(Equal(map[string][]byte{"a": []byte("3")}))
	}, SpecTimeout(time.Minute))

	It("takes over objects without a controller, and no others", func(ctx SpecContext) {
		create(ctx, m.Store(), newConfigMap("a"), newDeployment("other"))
		apply(ctx, config("a", "k", "v"))
		Expect(metav1.IsControlledBy(get(ctx, "a"), b.site)).To(BeTrue())
		other, err := store.Get[*appsv1.Deployment](ctx, m.Store(), store.KeyOf(newDeployment("other")))
		Expect(err).NotTo(HaveOccurred())
		mutate(ctx, "a", func(m *corev1.ConfigMap) {
			ref := *metav1.NewControllerRef(other, appsv1.SchemeGroupVersion.WithKind("Deployment"))
			m.OwnerReferences = []metav1.OwnerReference{ref}
		})
		err = b.try(ctx, func(_ context.Context, tx *controller.Tx, site *Site) error {
			_, err := controller.Apply(tx, site, config("fresh"), config("a"))
			Expect(err).To(MatchError(fmt.Sprintf("apply: ConfigMap default/a: own default/a: it is controlled by "+
				"Deployment other with uid %s, and not by Site a with uid %s", other.UID, site.UID)))
			return nil // the reconcile ignores it
		})
		Expect(err).To(MatchError(ContainSubstring("controlled by Deployment other")))
		Expect(there(ctx)).To(Equal([]string{"a"}))
		apply(ctx)
		Expect(there(ctx)).To(Equal([]string{"a"}), "it is another's")
	}, SpecTimeout(time.Minute))

	It("does not change objects that are being deleted", func(ctx SpecContext) {
		held := config("a", "k", "v")
		held.Finalizers = []string{"example.com/hold"}
		apply(ctx, held)
		Expect(m.Store().Delete(ctx, get(ctx, "a"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		before := get(ctx, "a").ResourceVersion
		Expect(apply(ctx, config("a", "k", "w"))).To(BeEmpty())
		Expect(apply(ctx)).To(BeEmpty())
		Expect(get(ctx, "a").ResourceVersion).To(Equal(before))
		mutate(ctx, "a", func(m *corev1.ConfigMap) { m.OwnerReferences = nil })
		Expect(apply(ctx, config("a"))).To(BeEmpty())
		_, err := m.Store().Update(ctx, func() *corev1.ConfigMap { m := get(ctx, "a"); m.Finalizers = nil; return m }())
		Expect(err).NotTo(HaveOccurred())
		Expect(apply(ctx, config("a", "k", "w"))).To(HaveLen(1))
		Expect(get(ctx, "a").Data).To(HaveKeyWithValue("k", "w"))
	}, SpecTimeout(time.Minute))

	It("creates nothing for an owner that is being deleted, but prunes", func(ctx SpecContext) {
		apply(ctx, config("a"), config("b"))
		_, _, err := store.Mutate(ctx, m.Store(), store.KeyOf(b.site), func(site *Site) error {
			site.Finalizers = []string{"example.com/hold"}
			return nil
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(m.Store().Delete(ctx, newSite("a", 1), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		Expect(apply(ctx, config("a", "k", "v"), config("c"))).To(HaveLen(1))
		Expect(there(ctx)).To(Equal([]string{"a"}))
		Expect(get(ctx, "a").Data).To(HaveKeyWithValue("k", "v"))
	}, SpecTimeout(time.Minute))

	It("writes only if the owner is as it was read", func(ctx SpecContext) {
		for step, declared := range [][]*corev1.ConfigMap{{config("a")}, {config("a", "k", "v")}, {}} {
			err := b.try(ctx, func(ctx context.Context, tx *controller.Tx, site *Site) error {
				_, err := controller.Apply(tx, site, declared...)
				Expect(err).NotTo(HaveOccurred())
				_, _, err = store.Mutate(ctx, m.Store(), store.KeyOf(site), func(site *Site) error { site.Spec.Replicas++; return nil })
				return err
			})
			Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"), fmt.Sprint("step ", step))
			apply(ctx, declared...)
		}
		Expect(there(ctx)).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("can be split, together with the owner's status", func(ctx SpecContext) {
		var many []*corev1.ConfigMap
		for i := range 300 {
			many = append(many, config(fmt.Sprintf("m-%03d", i)))
		}
		err := b.try(ctx, func(_ context.Context, tx *controller.Tx, site *Site) error {
			_, err := controller.Apply(tx, site, many...)
			return err
		})
		Expect(err).To(MatchError(apierrors.IsRequestEntityTooLargeError, "RequestEntityTooLarge"))
		Expect(there(ctx)).To(BeEmpty())
		b.do(ctx, func(tx *controller.Tx, site *Site) {
			tx.AllowSplit()
			site.Status.Ready = 300
			tx.UpdateStatus(site)
			Expect(controller.Apply(tx, site, many...)).Error().NotTo(HaveOccurred())
		})
		Expect(there(ctx)).To(HaveLen(300))
		site, err := store.Get[*Site](ctx, m.Store(), store.KeyOf(b.site))
		Expect(err).NotTo(HaveOccurred())
		Expect(site.Status.Ready).To(Equal(int32(300)))
		Expect(site.ResourceVersion).To(Equal(get(ctx, "m-299").ResourceVersion))
		Expect(get(ctx, "m-000").ResourceVersion).NotTo(Equal(site.ResourceVersion))
	}, SpecTimeout(40*time.Second))

	DescribeTable("refuses", func(ctx SpecContext, message string, declared ...*corev1.ConfigMap) {
		err := b.try(ctx, func(_ context.Context, tx *controller.Tx, site *Site) error {
			_, err := controller.Apply(tx, site, declared...)
			return err
		})
		Expect(err).To(MatchError(ContainSubstring(message)))
		Expect(there(ctx)).To(BeEmpty())
	},
		Entry("an object without a name", "the object has no name", config("a"), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "a-"}}),
		Entry("an object that is declared twice", "ConfigMap default/a: the object is declared twice", config("a"), config("a")),
		Entry("an object in another namespace than its owner", "another namespace",
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: "a"}}),
	)
})
