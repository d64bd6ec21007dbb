package store_test

import (
	"context"
	"fmt"
	"math"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/store"
	"github.com/homeostat/homeostat/pkg/store/patch"
)

// leaseOf returns the lease of a site's key.
func leaseOf(ctx context.Context, s *store.Store, name string) clientv3.LeaseID {
	GinkgoHelper()
	resp, err := server.Client().Get(ctx, siteKey(s, name))
	Expect(err).NotTo(HaveOccurred())
	Expect(resp.Kvs).To(HaveLen(1))
	return clientv3.LeaseID(resp.Kvs[0].Lease)
}

// create creates a site that expires.
func createFor(ctx context.Context, s *store.Store, name string, ttl time.Duration) *Site {
	GinkgoHelper()
	site := newSite(name)
	t := s.Txn()
	t.Create(site)
	t.Expire(site, ttl)
	Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
	return site
}

var _ = Describe("The lease of a key", func() {
	DescribeTable("is kept by", func(ctx SpecContext, write func(ctx context.Context, s *store.Store) error) {
		s := newStore()
		created(ctx, s, "a", finalizer("example.com/f"))
		lease, err := server.Client().Grant(ctx, 3600)
		Expect(err).NotTo(HaveOccurred())
		_, err = server.Client().Put(ctx, siteKey(s, "a"), raw(ctx, siteKey(s, "a")), clientv3.WithLease(lease.ID))
		Expect(err).NotTo(HaveOccurred())
		before := revision(ctx, s)
		Expect(write(ctx, s)).To(Succeed())
		Expect(revision(ctx, s)).To(Equal(before + 1))
		Expect(leaseOf(ctx, s, "a")).To(Equal(lease.ID))
	},
		Entry("Update", func(ctx context.Context, s *store.Store) error {
			site := get(ctx, s, "a")
			site.Spec.Image = "x"
			_, err := s.Update(ctx, site)
			return err
		}),
		Entry("UpdateStatus", func(ctx context.Context, s *store.Store) error {
			site := get(ctx, s, "a")
			site.Status.Ready = 3
			_, err := s.UpdateStatus(ctx, site)
			return err
		}),
		Entry("Mutate", func(ctx context.Context, s *store.Store) error {
			_, _, err := store.Mutate(ctx, s, store.Key{Namespace: "default", Name: "a"}, func(site *Site) error {
				site.Spec.Image = "x"
				return nil
			})
			return err
		}),
		Entry("a patch", func(ctx context.Context, s *store.Store) error {
			_, err := patch.Apply(ctx, s, newSite("a"), patch.Patch{Type: types.MergePatchType, Data: []byte(`{"spec":{"image":"z"}}`)})
			return err
		}),
		Entry("a deletion that marks the object", func(ctx context.Context, s *store.Store) error {
			_, err := s.Delete(ctx, newSite("a"), store.DeleteOptions{})
			return err
		}),
		Entry("a deletion of the collection that marks the object", func(ctx context.Context, s *store.Store) error {
			_, _, err := store.DeleteCollection[*Site](ctx, s, store.ListOptions{}, store.DeleteOptions{})
			return err
		}),
		Entry("Rewrite", func(ctx context.Context, s *store.Store) error {
			_, err := store.Rewrite[*Site](ctx, newStore(sharing(s), keys("alpha")))
			return err
		}),
		Entry("an update in a version of its own", func(ctx context.Context, s *store.Store) error {
			s = newStore(sharing(s), versions)
			old, err := store.Get[*OldSite](ctx, s, store.Key{Namespace: "default", Name: "a"})
			if err != nil {
				return err
			}
			old.Spec.Tag = "2"
			_, err = s.Update(ctx, old)
			return err
		}),
	)
})

var _ = Describe("An object with a time to live", func() {
	It("is deleted by etcd when its lease ends", func(ctx SpecContext) {
		s := newStore()
		site := createFor(ctx, s, "a", time.Hour)
		Expect(site.ResourceVersion).NotTo(BeEmpty())
		lease := leaseOf(ctx, s, "a")
		resp, err := server.Client().TimeToLive(ctx, lease)
		Expect(err).NotTo(HaveOccurred())
		Expect(resp.GrantedTTL).To(BeEquivalentTo(3600 + 360 + 5))
		Expect(server.Client().Revoke(ctx, lease)).Error().NotTo(HaveOccurred())
		Expect(s.UpdateStatus(ctx, site)).Error().To(MatchError(apierrors.IsNotFound, "NotFound"))
	})

	It("is renewed without another change, and keeps its time through updates", func(ctx SpecContext) {
		clock := clocktesting.NewFakeClock(time.Now())
		s := newStore(func(o *store.Options) { o.Clock = clock })
		site := createFor(ctx, s, "a", time.Hour)
		first, before := leaseOf(ctx, s, "a"), raw(ctx, siteKey(s, "a"))
		clock.Step(10 * time.Minute)
		rev, err := s.Expire(ctx, site, time.Hour)
		Expect(err).NotTo(HaveOccurred())
		Expect(site.ResourceVersion).To(Equal(store.FormatRevision(rev)))
		second := leaseOf(ctx, s, "a")
		Expect(second).NotTo(Equal(first))
		Expect(raw(ctx, siteKey(s, "a"))).To(Equal(before))
		site.Spec.Image = "x"
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(leaseOf(ctx, s, "a")).To(Equal(second))
	})

	It("is updated and renewed at once", func(ctx SpecContext) {
		clock := clocktesting.NewFakeClock(time.Now())
		s := newStore(func(o *store.Options) { o.Clock = clock })
		site := createFor(ctx, s, "a", time.Hour)
		first, before := leaseOf(ctx, s, "a"), revision(ctx, s)
		clock.Step(time.Hour)
		site.Spec.Image, site.Status.Ready = "x", 2
		t := s.Txn()
		t.Expire(site, time.Hour)
		t.UpdateStatus(site)
		t.Update(site)
		Expect(t.Commit(ctx)).To(Equal(before + 1))
		Expect(leaseOf(ctx, s, "a")).NotTo(Equal(first))
		Expect(get(ctx, s, "a")).To(Equal(site))
	})

	It("lives on with a time of 0", func(ctx SpecContext) {
		s := newStore()
		site := createFor(ctx, s, "a", time.Hour)
		Expect(s.Expire(ctx, site, 0)).Error().NotTo(HaveOccurred())
		Expect(leaseOf(ctx, s, "a")).To(Equal(clientv3.NoLease))
		now := revision(ctx, s)
		Expect(s.Expire(ctx, site, 0)).Error().NotTo(HaveOccurred())
		Expect(revision(ctx, s)).To(Equal(now), "it lives on already")
	})

	It("shares its lease with others, and failed writes leave none behind", func(ctx SpecContext) {
		s := newStore()
		first := leaseOf(ctx, s, createFor(ctx, s, "a", time.Hour).Name)
		for i := range 50 {
			Expect(leaseOf(ctx, s, createFor(ctx, s, fmt.Sprint("b", i), time.Hour).Name)).To(Equal(first))
			t := s.Txn()
			again := newSite("a")
			t.Create(again)
			t.Expire(again, time.Hour)
			Expect(t.Commit(ctx)).Error().To(MatchError(apierrors.IsAlreadyExists, "AlreadyExists"))
		}
	})

	It("shares its lease with others whose times differ a little", func(ctx SpecContext) {
		s := newStore()
		leases := map[clientv3.LeaseID]bool{}
		for i := range 40 {
			name := fmt.Sprint("a", i)
			createFor(ctx, s, name, time.Hour-time.Duration(i)*time.Second-time.Millisecond)
			leases[leaseOf(ctx, s, name)] = true
		}
		Expect(leases).To(HaveLen(1))
	})

	It("gets another lease when etcd does not know the shared one", func(ctx SpecContext) {
		s := newStore()
		first := leaseOf(ctx, s, createFor(ctx, s, "a", time.Hour).Name)
		Expect(server.Client().Revoke(ctx, first)).Error().NotTo(HaveOccurred())
		Expect(leaseOf(ctx, s, createFor(ctx, s, "b", time.Hour).Name)).NotTo(Equal(first))
	})

	It("must exist, be unchanged, and live for a time that etcd can count", func(ctx SpecContext) {
		s := newStore()
		site := createFor(ctx, s, "a", time.Hour)
		for _, ttl := range []time.Duration{-1, 1, time.Second - 1, math.MaxInt64, math.MinInt64} {
			Expect(s.Expire(ctx, site, ttl)).Error().To(MatchError(apierrors.IsBadRequest, "BadRequest"), ttl.String())
		}
		stale := site.DeepCopy()
		site.Spec.Image = "x"
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(s.Expire(ctx, stale, time.Hour)).Error().To(MatchError(apierrors.IsConflict, "Conflict"))
		Expect(s.Expire(ctx, newSite("none"), time.Hour)).Error().To(MatchError(apierrors.IsNotFound, "NotFound"))
		Expect(s.Expire(ctx, site, 10*365*24*time.Hour)).Error().NotTo(HaveOccurred())
	})
})
