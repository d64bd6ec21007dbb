package store_test

import (
	"context"
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/etcdtest"
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
		Expect(server.Client().Delete(ctx, key)).Error().NotTo(HaveOccurred())
	}

	It("lets writes through while it holds", func(ctx SpecContext) {
		_, fenced, f := hold(ctx)
		site := created(ctx, fenced, "a")
		put(ctx, f.Key, "still me")
		site.Spec.Image = "x"
		Expect(fenced.Update(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(fenced.Delete(ctx, site, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
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
		write(func(t *store.Txn) { t.Delete(newSite("a"), store.DeleteOptions{}) })
		write(func(t *store.Txn) { t.Update(site) }) // would change nothing
		Expect(changed).To(Equal(before))
		Expect(revision(ctx, s)).To(Equal(now))
	})

	It("does not hold again when its key is created again", func(ctx SpecContext) {
		s, fenced, f := hold(ctx)
		remove(ctx, f.Key)
		found := put(ctx, f.Key, "another")
		_, err := fenced.Create(ctx, newSite("a"))
		var refused *store.FencedError
		Expect(asError(err, &refused)).To(BeTrue())
		Expect(refused.Found).To(Equal(found))
		Expect(revision(ctx, s)).To(Equal(found))
	})

	It("holds together with other fences", func(ctx SpecContext) {
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

	It("that names a lease does not accept another holder's key, created at the same revision of other data", func(ctx SpecContext) {
		cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
		s := newStoreOn(cluster.Client())
		hold := func() store.Fence {
			GinkgoHelper()
			lease, err := cluster.Client().Grant(ctx, 600)
			Expect(err).NotTo(HaveOccurred())
			resp, err := cluster.Client().Put(ctx, "/leader", "", clientv3.WithLease(lease.ID))
			Expect(err).NotTo(HaveOccurred())
			return store.Fence{Key: "/leader", CreateRevision: resp.Header.Revision, Lease: lease.ID}
		}
		old := hold()
		Expect(s.WithFences(old).Create(ctx, newSite("a"))).Error().NotTo(HaveOccurred())
		Expect(cluster.Wipe(ctx)).To(Succeed())
		now := hold()
		Expect(now.CreateRevision).To(Equal(old.CreateRevision))
		_, err := s.WithFences(old).Create(ctx, newSite("b"))
		var refused *store.FencedError
		Expect(asError(err, &refused)).To(BeTrue())
		Expect(refused.Fence).To(Equal(old))
		Expect(err).To(MatchError(ContainSubstring("data were replaced")))
		Expect(s.WithFences(now).Create(ctx, newSite("b"))).Error().NotTo(HaveOccurred())
		Expect(s.WithFences(now).Create(ctx, newSite("b"))).Error().To(MatchError(apierrors.IsAlreadyExists, "AlreadyExists"))
	})

	It("can come from the write's context", func(ctx SpecContext) {
		type carried struct{}
		s, _, f := hold(ctx)
		find := func(ctx context.Context) ([]store.Fence, error) {
			f, ok := ctx.Value(carried{}).(store.Fence)
			if !ok {
				return nil, errors.New("no fence")
			}
			return []store.Fence{f}, nil
		}
		carrying := context.WithValue(ctx, carried{}, f)
		fenced := s.WithFencesFrom(find)
		Expect(fenced.Create(carrying, newSite("a"))).Error().NotTo(HaveOccurred())

		second := store.Fence{Key: s.Prefix() + "second"}
		second.CreateRevision = put(ctx, second.Key, "")
		both := fenced.WithFencesFrom(func(context.Context) ([]store.Fence, error) { return []store.Fence{second}, nil })
		Expect(both.Create(carrying, newSite("b"))).Error().NotTo(HaveOccurred())
		remove(ctx, second.Key)
		_, err := both.Create(carrying, newSite("c"))
		Expect(store.IsFenced(err)).To(BeTrue())
		Expect(err).To(MatchError(ContainSubstring(second.Key)))

		// Without it nothing is sent, whatever the verb.
		now := revision(ctx, s)
		site := get(ctx, s, "a")
		for _, s := range []*store.Store{fenced, both} {
			t := s.Txn()
			t.Delete(site, store.DeleteOptions{})
			_, deleted := t.Commit(ctx)
			_, created := s.Create(ctx, newSite("d"))
			_, _, changed := store.Mutate(ctx, s, store.KeyOf(site), func(site *Site) error { site.Spec.Replicas++; return nil })
			_, _, collected := store.DeleteCollection[*Site](ctx, s, store.ListOptions{}, store.DeleteOptions{})
			for _, err := range []error{deleted, created, changed, collected} {
				Expect(err).To(MatchError(ContainSubstring("not sent: no fence")))
				Expect(store.IsFenced(err)).To(BeFalse())
			}
		}
		Expect(revision(ctx, s)).To(Equal(now))

		remove(ctx, f.Key)
		_, err = fenced.Create(carrying, newSite("d"))
		Expect(store.IsFenced(err)).To(BeTrue())
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
