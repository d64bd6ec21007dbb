package store_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("Delete's propagation", func() {
	const (
		foreground = metav1.DeletePropagationForeground
		background = metav1.DeletePropagationBackground
		orphan     = metav1.DeletePropagationOrphan
		own        = "example.com/f"
	)
	remove := func(ctx SpecContext, s *store.Store, policy metav1.DeletionPropagation) *Site {
		GinkgoHelper()
		site := newSite("a")
		Expect(s.Delete(ctx, site, store.DeleteOptions{Propagation: policy})).Error().NotTo(HaveOccurred())
		return site
	}
	gone := func(ctx SpecContext, s *store.Store) {
		GinkgoHelper()
		_, err := store.Get[*Site](ctx, s, store.Key{Namespace: "default", Name: "a"})
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
	}

	DescribeTable("marks the object and adds the finalizer of the propagation",
		func(ctx SpecContext, before []string, policy metav1.DeletionPropagation, after []string) {
			s := newStore()
			created(ctx, s, "a", finalizer(before...))
			Expect(remove(ctx, s, policy).DeletionTimestamp).NotTo(BeNil())
			Expect(get(ctx, s, "a").Finalizers).To(Equal(after))
		},
		Entry("foreground", nil, foreground, []string{"foregroundDeletion"}),
		Entry("orphan", nil, orphan, []string{"orphan"}),
		Entry("foreground, with another finalizer", []string{own}, foreground, []string{own, "foregroundDeletion"}),
		Entry("orphan, replacing foreground", []string{"foregroundDeletion", own}, orphan, []string{own, "orphan"}),
		Entry("background, replacing orphan", []string{"orphan", own}, background, []string{own}),
		Entry("none, which keeps the object's own", []string{"orphan"}, metav1.DeletionPropagation(""), []string{"orphan"}),
	)

	It("deletes at once in the background", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		remove(ctx, s, background)
		gone(ctx, s)
		created(ctx, s, "a", finalizer("orphan"))
		remove(ctx, s, background)
		gone(ctx, s)
	})

	It("can be replaced as long as the object is there", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		first := remove(ctx, s, foreground)
		second := remove(ctx, s, orphan)
		Expect(second.Finalizers).To(Equal([]string{"orphan"}))
		Expect(second.DeletionTimestamp).To(Equal(first.DeletionTimestamp))
		Expect(second.Generation).To(Equal(first.Generation))
		now := revision(ctx, s)
		remove(ctx, s, orphan)
		remove(ctx, s, "")
		Expect(revision(ctx, s)).To(Equal(now), "nothing to write")
		remove(ctx, s, background)
		gone(ctx, s)
	})

	It("combines with a grace period, which is not extended", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		site := newSite("a")
		grace := store.DeleteOptions{GracePeriodSeconds: 30, Propagation: orphan}
		Expect(s.Delete(ctx, site, grace)).Error().NotTo(HaveOccurred())
		Expect(site.Finalizers).To(Equal([]string{"orphan"}))
		Expect(*site.DeletionGracePeriodSeconds).To(BeEquivalentTo(30))
		remove(ctx, s, "")
		Expect(*get(ctx, s, "a").DeletionGracePeriodSeconds).To(BeZero())
		grace.Propagation = background
		Expect(s.Delete(ctx, newSite("a"), grace)).Error().NotTo(HaveOccurred())
		gone(ctx, s)
	})

	It("has the preconditions of every deletion", func(ctx SpecContext) {
		s := newStore()
		old := created(ctx, s, "a")
		for _, conflict := range []store.DeleteOptions{{Propagation: orphan, ResourceVersion: "1"}, {Propagation: foreground, ResourceVersion: "1"}} {
			_, err := s.Delete(ctx, newSite("a"), conflict)
			Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
		}
		Expect(get(ctx, s, "a")).To(Equal(old))
	})

	It("must be one of Kubernetes' own", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		_, err := s.Delete(ctx, newSite("a"), store.DeleteOptions{Propagation: "Sideways"})
		Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
	})
})
