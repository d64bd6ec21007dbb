package store_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/store"
)

// cache is a [store.Cache] with the objects that a spec puts into it.
type cache map[string]store.Object

func (c cache) Cached(key string) (store.Object, bool) {
	obj, ok := c[key]
	return obj, ok
}

var _ = Describe("A store with a cache", func() {
	var (
		w         *wire
		c         cache
		s, cached *store.Store
	)
	BeforeEach(func() {
		w, c = &wire{}, cache{}
		s = newStoreOn(newClient(w.tap))
		cached = s.WithCache(c)
	})

	// knows has the cache know a site as it is now.
	knows := func(ctx SpecContext, name string) (site, known *Site) {
		GinkgoHelper()
		site = get(ctx, s, name)
		known = site.DeepCopy()
		c[siteKey(s, name)] = site
		return site, known
	}
	// overtake changes a site behind the cache's back.
	overtake := func(ctx SpecContext, name string, change func(*Site)) {
		GinkgoHelper()
		_, _, err := store.Mutate(ctx, s, store.Key{Namespace: "default", Name: name}, func(s *Site) error {
			change(s)
			return nil
		})
		Expect(err).NotTo(HaveOccurred())
	}

	It("writes an object from the cache with a single request", func(ctx SpecContext) {
		created(ctx, s, "a")
		shared, known := knows(ctx, "a")
		site := shared.DeepCopy()
		site.Spec.Image = "x"
		Expect(w.during(func() { Expect(cached.Update(ctx, site)).Error().NotTo(HaveOccurred()) })).To(Equal([]string{"Txn"}))
		Expect(shared).To(Equal(known))
		knows(ctx, "a")
		site.Status.Ready = 3
		Expect(w.during(func() { Expect(cached.UpdateStatus(ctx, site)).Error().NotTo(HaveOccurred()) })).To(Equal([]string{"Txn"}))
		knows(ctx, "a")
		Expect(w.during(func() { Expect(cached.Update(ctx, site)).Error().NotTo(HaveOccurred()) })).To(Equal([]string{"Txn"}), "writes nothing, but verifies")
		Expect(w.during(func() { Expect(cached.Delete(ctx, newSite("a"), store.DeleteOptions{})).Error().NotTo(HaveOccurred()) })).To(Equal([]string{"Txn"}))
	})

	It("reads the object if the cache has another revision", func(ctx SpecContext) {
		created(ctx, s, "a")
		knows(ctx, "a")
		overtake(ctx, "a", func(s *Site) { s.Spec.Image = "x" })
		site := get(ctx, s, "a")
		site.Spec.Replicas = 3
		Expect(w.during(func() { Expect(cached.Update(ctx, site)).Error().NotTo(HaveOccurred()) })).To(Equal([]string{"Txn", "Txn"}))
		Expect(get(ctx, s, "a").Spec.Image).To(Equal("x"))
	})

	It("never shares a cached object with the caller", func(ctx SpecContext) {
		created(ctx, s, "a", labelled("x", "1"), finalizer("example.com/f"))
		shared, known := knows(ctx, "a")
		scribble := func(site *Site) {
			site.Labels["x"] = "scribbled"
			site.Finalizers[0] = "scribbled"
		}
		same := shared.DeepCopy()
		Expect(cached.Update(ctx, same)).Error().NotTo(HaveOccurred())
		scribble(same)
		status := newSite("a")
		Expect(cached.UpdateStatus(ctx, status)).Error().NotTo(HaveOccurred())
		scribble(status)
		marked := newSite("a")
		Expect(cached.Delete(ctx, marked, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		scribble(marked)
		Expect(shared).To(Equal(known))
	})

	It("merges an unconditional update with the object in etcd", func(ctx SpecContext) {
		created(ctx, s, "a")
		shared, known := knows(ctx, "a")
		overtake(ctx, "a", func(s *Site) { s.Spec.Image, s.Status.Ready = "x", 5 })
		site := newSite("a")
		site.Spec.Replicas = 1
		Expect(cached.Update(ctx, site)).Error().NotTo(HaveOccurred())
		there := get(ctx, s, "a")
		Expect(there.Status.Ready).To(BeEquivalentTo(5))
		Expect(there.Generation).To(BeEquivalentTo(3))
		Expect(shared).To(Equal(known))
	})

	It("writes a change although the stale cache already has it", func(ctx SpecContext) {
		created(ctx, s, "a")
		shared, _ := knows(ctx, "a")
		overtake(ctx, "a", func(s *Site) { s.Spec.Image = "x" })
		site := shared.DeepCopy()
		site.ResourceVersion = ""
		Expect(cached.Update(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(get(ctx, s, "a").Spec.Image).To(BeEmpty())
	})

	It("conflicts with a write that the cache does not have yet", func(ctx SpecContext) {
		created(ctx, s, "a")
		shared, _ := knows(ctx, "a")
		overtake(ctx, "a", func(s *Site) { s.Spec.Image = "x" })
		site := shared.DeepCopy()
		site.Spec.Image = "mine"
		_, err := cached.Update(ctx, site)
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
	})

	It("refuses only what etcd's state forbids", func(ctx SpecContext) {
		created(ctx, s, "a", labelled("protected", "true"))
		knows(ctx, "a")
		overtake(ctx, "a", func(s *Site) { s.Labels = nil })
		Expect(cached.Delete(ctx, newSite("a"), store.DeleteOptions{})).Error().NotTo(HaveOccurred(), "it is protected no more")

		created(ctx, s, "a")
		newer := get(ctx, s, "a")
		Expect(cached.Delete(ctx, newer, store.DeleteOptions{ResourceVersion: newer.ResourceVersion})).Error().
			NotTo(HaveOccurred(), "the cache knows an older object of the name")
	})

	It("finds that an object is gone", func(ctx SpecContext) {
		created(ctx, s, "a")
		shared, _ := knows(ctx, "a")
		Expect(s.Delete(ctx, newSite("a"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		site := shared.DeepCopy()
		site.Spec.Image = "x"
		_, err := cached.Update(ctx, site)
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
		_, err = cached.Delete(ctx, newSite("a"), store.DeleteOptions{})
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
	})

	It("does not complete a deletion that another finalizer holds back", func(ctx SpecContext) {
		created(ctx, s, "a")
		knows(ctx, "a")
		overtake(ctx, "a", func(s *Site) { s.Finalizers = []string{"example.com/f"} })
		site := newSite("a")
		Expect(cached.Delete(ctx, site, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		Expect(get(ctx, s, "a").DeletionTimestamp).NotTo(BeNil())
	})
})
