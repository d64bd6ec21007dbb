package store_test

import (
	"math"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("Delete", func() {
	gone := func(ctx SpecContext, s *store.Store, name string) {
		GinkgoHelper()
		_, err := store.Get[*Site](ctx, s, store.Key{Namespace: "default", Name: name})
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
	}

	It("needs no more than the name, and fills in the last state with the deletion's revision", func(ctx SpecContext) {
		s := newStore()
		last := created(ctx, s, "a", labelled("x", "y"))
		site := newSite("a")
		rev, err := s.Delete(ctx, site, store.DeleteOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(rev).To(Equal(revision(ctx, s)))
		Expect(site.ResourceVersion).To(Equal(store.FormatRevision(rev)))
		Expect(site.UID).To(Equal(last.UID))
		Expect(site.Labels).To(Equal(last.Labels))
		gone(ctx, s, "a")
	})

	It("says when there is no such object", func(ctx SpecContext) {
		_, err := newStore().Delete(ctx, newSite("a"), store.DeleteOptions{})
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
	})

	It("leaves an object that took the name later", func(ctx SpecContext) {
		s := newStore()
		old := created(ctx, s, "a")
		Expect(s.Delete(ctx, newSite("a"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		created(ctx, s, "a")
		before := old.DeepCopy()
		_, err := s.Delete(ctx, old, store.DeleteOptions{})
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
		Expect(old).To(Equal(before))
		get(ctx, s, "a")
	})

	It("has no condition on the object's resourceVersion", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a")
		other := site.DeepCopy()
		other.Spec.Image = "x"
		Expect(s.Update(ctx, other)).Error().NotTo(HaveOccurred())
		Expect(s.Delete(ctx, site, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		gone(ctx, s, "a")
	})

	It("has a condition on the resourceVersion of the options", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a")
		old := site.ResourceVersion
		site.Spec.Image = "x"
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
		_, err := s.Delete(ctx, newSite("a"), store.DeleteOptions{ResourceVersion: old})
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
		Expect(s.Delete(ctx, newSite("a"), store.DeleteOptions{ResourceVersion: site.ResourceVersion})).Error().NotTo(HaveOccurred())
		gone(ctx, s, "a")
	})

	It("refuses options that are wrong", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		_, err := s.Delete(ctx, newSite("a"), store.DeleteOptions{ResourceVersion: "x"})
		Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
		_, err = s.Delete(ctx, newSite(""), store.DeleteOptions{})
		Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
	})

	It("applies the kind's own rule", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a", labelled("protected", "true"))
		_, err := s.Delete(ctx, newSite("a"), store.DeleteOptions{})
		Expect(err).To(MatchError(apierrors.IsInvalid, "Invalid"))
	})

	It("only marks an object with finalizers, once", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a", finalizer("example.com/f"))
		site := newSite("a")
		rev, err := s.Delete(ctx, site, store.DeleteOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(site.DeletionTimestamp).NotTo(BeNil())
		Expect(site.DeletionGracePeriodSeconds).To(Equal(ptr.To(int64(0))))
		Expect(site.Generation).To(BeEquivalentTo(2))
		Expect(get(ctx, s, "a").DeletionTimestamp).NotTo(BeNil())
		Expect(s.Delete(ctx, newSite("a"), store.DeleteOptions{})).To(Equal(rev))
		Expect(revision(ctx, s)).To(Equal(rev))
	})

	It("sets a grace period, which later deletions can only shorten", func(ctx SpecContext) {
		clock := clocktesting.NewFakePassiveClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
		start := clock.Now()
		s := newStore(func(o *store.Options) { o.Clock = clock })
		created(ctx, s, "a")
		site := newSite("a")
		grace := func(seconds int64) store.DeleteOptions { return store.DeleteOptions{GracePeriodSeconds: seconds} }
		Expect(s.Delete(ctx, site, grace(30))).Error().NotTo(HaveOccurred())
		Expect(site.DeletionTimestamp.Time).To(BeTemporally("==", start.Add(30*time.Second)))
		now := revision(ctx, s)
		Expect(s.Delete(ctx, site, grace(60))).Error().NotTo(HaveOccurred())
		Expect(s.Delete(ctx, site, grace(30))).Error().NotTo(HaveOccurred())
		Expect(revision(ctx, s)).To(Equal(now))

		clock.SetTime(start.Add(25 * time.Second))
		Expect(s.Delete(ctx, site, grace(10))).Error().NotTo(HaveOccurred())
		Expect(site.DeletionGracePeriodSeconds).To(Equal(ptr.To(int64(10))))
		Expect(site.DeletionTimestamp.Time).To(BeTemporally("==", start.Add(30*time.Second)), "not later than before")
		Expect(site.Generation).To(BeEquivalentTo(2))

		Expect(s.Delete(ctx, site, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		gone(ctx, s, "a")
	})

	DescribeTable("bounds the grace period", func(ctx SpecContext, seconds, want int64) {
		clock := clocktesting.NewFakePassiveClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
		s := newStore(func(o *store.Options) { o.Clock = clock })
		created(ctx, s, "a", func(site *Site) { site.Finalizers = []string{"example.com/a"} })
		site := newSite("a")
		after := s.AfterDelete(get(ctx, s, "a"), store.DeleteOptions{GracePeriodSeconds: seconds})
		Expect(*after.GetDeletionGracePeriodSeconds()).To(Equal(want))
		Expect(s.Delete(ctx, site, store.DeleteOptions{GracePeriodSeconds: seconds})).Error().NotTo(HaveOccurred())
		Expect(*site.DeletionGracePeriodSeconds).To(Equal(want))
		Expect(site.DeletionTimestamp.Time).To(BeTemporally("==", clock.Now().Add(time.Duration(want)*time.Second)))
		Expect(get(ctx, s, "a")).To(Equal(site))
	},
		Entry("beyond a time.Duration", int64(9_300_000_000), int64(3_153_600_000)),
		Entry("beyond the years of JSON", int64(300_000_000_000), int64(3_153_600_000)),
		Entry("at the end of numbers", int64(math.MaxInt64), int64(3_153_600_000)),
		Entry("68 years", int64(math.MaxInt32), int64(math.MaxInt32)),
		Entry("below 0", int64(-1), int64(0)),
		Entry("at the other end of numbers", int64(math.MinInt64), int64(0)),
	)
})
