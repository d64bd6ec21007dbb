package store_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A fence", func() {
	// hold creates a key and returns a store that is fenced by it.
	hold := func(ctx SpecContext) (s, fenced *store.Store, f store.Fence) {
		GinkgoHelper()
		s = newStore()
		f.Key = s.Prefix() + "leader"
		f.CreateRevision = put(ctx, f.Key, "me")
		return s, s.WithFences(f), f
	}
	remove := func(ctx SpecContext, key string) {
		GinkgoHelper()
		Expect(etcd.Client().Delete(ctx, key)).Error().NotTo(HaveOccurred())
	}

	It("lets writes through while it holds", func(ctx SpecContext) {
		_, fenced, f := hold(ctx)
		site := created(ctx, fenced, "a")
		put(ctx, f.Key, "still me")
		site.Spec.Image = "x"
		Expect(fenced.Update(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(fenced.Delete(ctx, site)).Error().NotTo(HaveOccurred())
	})

	It("refuses every write once its key is gone, and nothing is written", func(ctx SpecContext) {
		s, fenced, f := hold(ctx)
		site := created(ctx, s, "a", finalizer("example.com/f"))
		remove(ctx, f.Key)
		now := revision(ctx, s)
		write := func(add func(*store.Txn)) {
			GinkgoHelper()
			t := fenced.Txn()
			add(t)
			_, err := t.Commit(ctx)
			var refused *store.FencedError
			Expect(asError(err, &refused)).To(BeTrue())
			Expect(refused.Fence).To(Equal(f))
			Expect(refused.Found).To(BeZero())
			Expect(store.IsFenced(err)).To(BeTrue())
			Expect(err).To(MatchError(ContainSubstring(f.Key)))
		}
		changed := site.DeepCopy()
		changed.Spec.Image, changed.Status.Ready = "x", 1
		before := changed.DeepCopy()
		write(func(t *store.Txn) { t.Create(newSite("b")) })
		write(func(t *store.Txn) { t.Update(changed) })
		write(func(t *store.Txn) { t.UpdateStatus(changed) })
		write(func(t *store.Txn) { t.Delete(newSite("a")) })
		write(func(t *store.Txn) { t.Update(site) }) // would change nothing
		Expect(changed).To(Equal(before))
		Expect(revision(ctx, s)).To(Equal(now))
	})

	It("does not hold again when its key is created anew", func(ctx SpecContext) {
		s, fenced, f := hold(ctx)
		remove(ctx, f.Key)
		found := put(ctx, f.Key, "another")
		_, err := fenced.Create(ctx, newSite("a"))
		var refused *store.FencedError
		Expect(asError(err, &refused)).To(BeTrue())
		Expect(refused.Found).To(Equal(found))
		Expect(revision(ctx, s)).To(Equal(found))
	})

	It("stands beside others", func(ctx SpecContext) {
		s, fenced, _ := hold(ctx)
		second := store.Fence{Key: s.Prefix() + "second"}
		second.CreateRevision = put(ctx, second.Key, "")
		both := fenced.WithFences(second)
		Expect(both.Create(ctx, newSite("a"))).Error().NotTo(HaveOccurred())
		remove(ctx, second.Key)
		_, err := both.Create(ctx, newSite("b"))
		Expect(err).To(MatchError(ContainSubstring(second.Key)))
		Expect(fenced.Create(ctx, newSite("b"))).Error().NotTo(HaveOccurred())
	})

	It("does not fence reads", func(ctx SpecContext) {
		s, fenced, f := hold(ctx)
		created(ctx, s, "a")
		remove(ctx, f.Key)
		get(ctx, fenced, "a")
	})

	DescribeTable("that is incomplete lets no write through", func(ctx SpecContext, f store.Fence) {
		s := newStore()
		_, err := s.WithFences(f).Create(ctx, newSite("a"))
		Expect(err).To(MatchError(ContainSubstring("key and revision must be set")))
	},
		Entry("zero value", store.Fence{}),
		Entry("no revision, though no such key exists", store.Fence{Key: "/no/such/key"}),
		Entry("no key", store.Fence{CreateRevision: 1}),
	)
})
