package informer_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

func restrict[T store.Object](r *informer.Replica, s informer.Scope[T]) *informer.Informer[T] {
	GinkgoHelper()
	i, err := informer.Restrict(r, s)
	Expect(err).NotTo(HaveOccurred())
	return i
}

// full returns a Deployment with a value in each part.
func full(name string) *appsv1.Deployment {
	d := deployment(name)
	d.Labels = map[string]string{"app": name}
	d.Annotations = map[string]string{"note": "kept"}
	d.Spec.Paused = true
	d.Spec.Template.Spec.NodeName = "n"
	return d
}

var _ = Describe("A kind that is kept in part", func() {
	var (
		s *store.Store
		r *informer.Replica
	)

	BeforeEach(func() {
		s = newStore()
		r = newBareReplica(s)
	})

	It("has only the keys that Keep selects, and counts the other values that etcd sent", func(ctx SpecContext) {
		kept, other := configMap("kept", "v", "1"), configMap("other", "v", "1")
		create(ctx, s, kept)
		create(ctx, s, other)
		maps := restrict(r, informer.Scope[*corev1.ConfigMap]{Keep: func(k store.Key) bool {
			return k.Namespace == "default" && !strings.HasPrefix(k.Name, "other")
		}})
		received := audited(maps)
		startSynced(ctx, r)
		Expect(inSnapshot(maps, r.Snapshot())).To(Equal(map[string]string{"default/kept": kept.ResourceVersion}))
		Expect(r.Status().Kinds[0].Skipped).To(BeEquivalentTo(1))

		setValue(ctx, s, other, "2")
		put(ctx, s.Client(), s.Prefix()+"core/configmaps/default/other-bad", "{") // nobody tries to decode it
		remove(ctx, s, other)
		Expect(r.WaitForRevision(ctx, setValue(ctx, s, kept, "2"))).To(Succeed())
		Expect(valueOf(maps, "kept")()).To(Equal("2"))
		Eventually(received.lines).Should(Equal([]string{"ADDED kept 1", "MODIFIED kept 2"}))
		Expect(maps.Len(r.Snapshot())).To(Equal(1))
		st := r.Status()
		Expect(st.Kinds[0].Skipped).To(BeEquivalentTo(3))
		Expect(st.Undecodable).To(BeEmpty())
		Expect(maps.Keeps(key("kept"))).To(BeTrue())
		Expect(maps.Keeps(key("other"))).To(BeFalse())
		Expect(r.Covers(s.Prefix() + "core/configmaps/default/kept")).To(BeTrue())
		Expect(r.Covers(s.Prefix() + "core/configmaps/default/other")).To(BeFalse())
		_, whole := r.Cached(s.Prefix() + "core/configmaps/default/kept")
		Expect(whole).To(BeTrue())
	}, SpecTimeout(specTimeout))

	It("has only metadata, whatever the values' encoding and the rest of their content", func(ctx SpecContext) {
		asProto, err := store.New(s.Client(), store.Options{Scheme: scheme.Scheme, Prefix: s.Prefix(), Codec: store.Protobuf, Strict: true})
		Expect(err).NotTo(HaveOccurred())
		r = newBareReplica(asProto)
		j, p := full("json"), full("proto")
		create(ctx, s, j)
		create(ctx, asProto, p)
		put(ctx, s.Client(), s.Prefix()+"apps/deployments/default/odd",
			`{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"namespace":"default","name":"odd"},"spec":{"replicas":"not a number"}}`)
		put(ctx, s.Client(), s.Prefix()+"apps/deployments/default/alien",
			`{"kind":"Pod","apiVersion":"v1","metadata":{"namespace":"default","name":"alien"}}`)
		deploys := restrict(r, informer.Scope[*appsv1.Deployment]{MetadataOnly: true})
		startSynced(ctx, r)
		snapshot := r.Snapshot()
		Expect(deploys.Len(snapshot)).To(Equal(3))
		Expect(r.Status().Undecodable).To(HaveKey(s.Prefix() + "apps/deployments/default/alien"))
		Expect(r.Status().Undecodable).To(HaveLen(1))
		for _, want := range []*appsv1.Deployment{j, p} {
			got, _ := deploys.Get(snapshot, store.KeyOf(want))
			got = got.DeepCopy()
			Expect(store.IsPartial(got)).To(BeTrue())
			got.SetSelfLink("")
			Expect(got).To(Equal(&appsv1.Deployment{TypeMeta: want.TypeMeta, ObjectMeta: want.ObjectMeta}))
		}
	}, SpecTimeout(specTimeout))

	It("has the result of Transform, also after a relist", func(ctx SpecContext) {
		d := full("d")
		create(ctx, s, d)
		deploys := restrict(r, informer.Scope[*appsv1.Deployment]{Transform: func(d *appsv1.Deployment) *appsv1.Deployment {
			d.Spec.Template = corev1.PodTemplateSpec{}
			return d
		}})
		received := audited(deploys)
		startSynced(ctx, r)
		before, _ := deploys.Get(r.Snapshot(), key("d"))
		Expect(before.Spec.Paused).To(BeTrue())
		Expect(before.Spec.Template.Spec.NodeName).To(BeEmpty())

		_, err := informer.For[*corev1.ConfigMap](r) // has it list
		Expect(err).NotTo(HaveOccurred())
		Expect(r.WaitForSync(ctx)).To(Succeed())
		after, _ := deploys.Get(r.Snapshot(), key("d"))
		Expect(after).To(BeIdenticalTo(before), "nothing has changed")
		create(ctx, s, full("last"))
		Eventually(received.lines).Should(Equal([]string{"ADDED d", "ADDED last"}))
	}, SpecTimeout(specTimeout))

	DescribeTable("keeps the last good object if a function of the scope fails",
		func(ctx SpecContext, scope informer.Scope[*corev1.ConfigMap], complaint string) {
			cm := configMap("a", "v", "good")
			create(ctx, s, cm)
			maps := restrict(r, scope)
			startSynced(ctx, r)
			Expect(valueOf(maps, "a")()).To(Equal("good"))
			Expect(r.WaitForRevision(ctx, setValue(ctx, s, cm, "bad"))).To(Succeed())
			Expect(valueOf(maps, "a")()).To(Equal("good"))
			Expect(r.Status().Undecodable).To(HaveKeyWithValue(s.Prefix()+"core/configmaps/default/a", MatchError(ContainSubstring(complaint))))
			Expect(r.WaitForRevision(ctx, setValue(ctx, s, cm, "better"))).To(Succeed())
			Expect(valueOf(maps, "a")()).To(Equal("better"))
			Expect(r.Status().Undecodable).To(BeEmpty())
		},
		Entry("by a panic", SpecTimeout(specTimeout), transforms(func(*corev1.ConfigMap) *corev1.ConfigMap { panic("boom") }), "Transform panicked: boom"),
		Entry("by returning nil", SpecTimeout(specTimeout), transforms(func(*corev1.ConfigMap) *corev1.ConfigMap { return nil }), "returned nil"),
		Entry("by returning another object", SpecTimeout(specTimeout), transforms(func(cm *corev1.ConfigMap) *corev1.ConfigMap {
			cm.UID = "another"
			return cm
		}), "returned another object"),
	)

	It("reports a Keep that panics, and keeps the last good object", func(ctx SpecContext) {
		create(ctx, s, configMap("a", "v", "1"))
		create(ctx, s, configMap("b", "v", "1"))
		maps := restrict(r, informer.Scope[*corev1.ConfigMap]{Keep: func(k store.Key) bool {
			if k.Name == "b" {
				panic("boom")
			}
			return true
		}})
		startSynced(ctx, r)
		Expect(maps.Len(r.Snapshot())).To(Equal(1))
		Expect(r.Status().Undecodable).To(HaveKeyWithValue(s.Prefix()+"core/configmaps/default/b", MatchError(ContainSubstring("Keep panicked: boom"))))
	}, SpecTimeout(specTimeout))

	It("must be restricted before For is called, and only once", func() {
		informerFor[*corev1.ConfigMap](r)
		_, err := informer.Restrict(r, informer.Scope[*corev1.ConfigMap]{})
		Expect(err).To(MatchError(ContainSubstring("already registered")))
		restrict(r, informer.Scope[*appsv1.Deployment]{MetadataOnly: true})
		_, err = informer.Restrict(r, informer.Scope[*appsv1.Deployment]{MetadataOnly: true})
		Expect(err).To(MatchError(ContainSubstring("already registered")))
		Expect(informerFor[*appsv1.Deployment](r)).NotTo(BeNil())
	})

	It("refuses writes of stripped objects", func(ctx SpecContext) {
		create(ctx, s, full("d"))
		deploys := restrict(r, informer.Scope[*appsv1.Deployment]{MetadataOnly: true})
		startSynced(ctx, r)
		partial, _ := deploys.Get(r.Snapshot(), key("d"))
		cached := s.WithCache(r)
		_, known := r.Cached(s.Prefix() + "apps/deployments/default/d")
		Expect(known).To(BeFalse())

		for _, write := range []func(context.Context, store.Object) (int64, error){cached.Update, cached.UpdateStatus, s.Update} {
			_, err := write(ctx, partial.DeepCopy())
			Expect(err).To(MatchError(ContainSubstring("would lose the rest")))
			Expect(apierrors.IsBadRequest(err)).To(BeTrue())
		}
		again := partial.DeepCopy()
		again.ResourceVersion, again.Name = "", "copy"
		Expect(cached.Create(ctx, again)).Error().To(MatchError(ContainSubstring("would lose the rest")))

		// Without a resourceVersion, the cache would be asked for what is there.
		whole, _, err := store.Mutate(ctx, cached, key("d"), func(d *appsv1.Deployment) error {
			d.Labels["app"] = "changed"
			return nil
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(whole.Spec.Template.Spec.NodeName).To(Equal("n"))
		fresh := full("d")
		fresh.Spec.Paused = false
		update(ctx, cached, fresh)
		stored, err := store.Get[*appsv1.Deployment](ctx, s, key("d"))
		Expect(err).NotTo(HaveOccurred())
		Expect(stored.Spec.Template.Spec.NodeName).To(Equal("n"))
		Expect(stored.GetSelfLink()).To(BeEmpty())

		Expect(r.WaitForRevision(ctx, revisionOf(stored))).To(Succeed())
		partial, _ = deploys.Get(r.Snapshot(), key("d"))
		_, err = cached.Delete(ctx, partial.DeepCopy(), store.DeleteOptions{ResourceVersion: partial.ResourceVersion})
		Expect(err).NotTo(HaveOccurred())
	}, SpecTimeout(specTimeout))

	It("accepts a status update of an object with StatusComplete", func(ctx SpecContext) {
		create(ctx, s, full("d"))
		deploys := restrict(r, informer.Scope[*appsv1.Deployment]{
			StatusComplete: true,
			Transform: func(d *appsv1.Deployment) *appsv1.Deployment {
				d.Spec.Template = corev1.PodTemplateSpec{}
				return d
			},
		})
		startSynced(ctx, r)
		partial, _ := deploys.Get(r.Snapshot(), key("d"))
		changed := partial.DeepCopy()
		changed.Status.Replicas = 3
		_, err := s.WithCache(r).UpdateStatus(ctx, changed)
		Expect(err).NotTo(HaveOccurred())
		Expect(changed.Spec.Template.Spec.NodeName).To(Equal("n"), "it is what is stored now")
		Expect(store.IsPartial(changed)).To(BeFalse())
		Expect(s.Update(ctx, partial.DeepCopy())).Error().To(MatchError(ContainSubstring("would lose the rest")))
		Expect(store.Get[*appsv1.Deployment](ctx, s, key("d"))).To(HaveField("Status.Replicas", BeEquivalentTo(3)))
	}, SpecTimeout(specTimeout))
})

// transforms returns a scope that applies a function to the objects with the
// value "bad".
func transforms(do func(*corev1.ConfigMap) *corev1.ConfigMap) informer.Scope[*corev1.ConfigMap] {
	return informer.Scope[*corev1.ConfigMap]{Transform: func(cm *corev1.ConfigMap) *corev1.ConfigMap {
		if cm.Data["v"] == "bad" {
			return do(cm)
		}
		return cm
	}}
}
