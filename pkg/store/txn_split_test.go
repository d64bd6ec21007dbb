package store_test

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A transaction that may be split", func() {
	var (
		s      *store.Store
		parent *Site
	)

	BeforeEach(func(ctx SpecContext) {
		s = newStore()
		parent = created(ctx, s, "parent")
	})

	// creating creates n sites beside the parent and notes down how many.
	creating := func(n int) *store.Txn {
		t := s.Txn()
		t.AllowSplit(parent)
		parent.Status.Ready = int32(n)
		t.UpdateStatus(parent)
		for i := range n {
			t.Create(newSite(fmt.Sprintf("child-%05d", i)))
		}
		return t
	}
	// children returns the revisions of the parent's siblings.
	children := func(ctx context.Context) (revisions []string) {
		for _, site := range must(store.List[*Site](ctx, s, store.ListOptions{})).Items {
			if site.Name != "parent" {
				revisions = append(revisions, site.ResourceVersion)
			}
		}
		return revisions
	}

	It("is not split if that is not necessary", func(ctx SpecContext) {
		before := revision(ctx, s)
		Expect(creating(store.MaxTxnOps - 1).Commit(ctx)).To(Equal(before + 1))
		Expect(children(ctx)).To(HaveEach(store.FormatRevision(before + 1)))
		Expect(parent.ResourceVersion).To(Equal(store.FormatRevision(before + 1)))
	})

	It("writes in order, and the parent at the very end", func(ctx SpecContext) {
		before := revision(ctx, s)
		Expect(creating(1000).Commit(ctx)).To(Equal(before + 8))
		revisions := children(ctx)
		Expect(revisions).To(HaveLen(1000))
		Expect(revisions[0]).To(Equal(store.FormatRevision(before + 1)))
		Expect(revisions[999]).To(Equal(store.FormatRevision(before + 8)))
		Expect(parent.ResourceVersion).To(Equal(store.FormatRevision(before + 8)))
		Expect(get(ctx, s, "parent").Status.Ready).To(Equal(int32(1000)))
	})

	It("is split by size as well", func(ctx SpecContext) {
		t := creating(0)
		for i := range 10 {
			site := newSite(fmt.Sprint("large-", i))
			site.Spec.Image = strings.Repeat("x", store.MaxRequestBytes/4)
			t.Create(site)
		}
		Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
		Expect(children(ctx)).To(HaveLen(10))
	})

	It("names an object that is too large by itself, and what was written before it", func(ctx SpecContext) {
		t := creating(200)
		site := newSite("large")
		site.Spec.Image = strings.Repeat("x", store.MaxRequestBytes)
		t.Create(site)
		_, err := t.Commit(ctx)
		Expect(err).To(MatchError(apierrors.IsRequestEntityTooLargeError, "RequestEntityTooLarge"))
		Expect(err).To(MatchError(ContainSubstring("202 objects, of which 200 were written before this")))
		Expect(children(ctx)).To(HaveLen(200))
		Expect(get(ctx, s, "parent").Status.Ready).To(BeZero())
	})

	DescribeTable("stops if the parent has changed", func(ctx SpecContext, written bool) {
		// An observer learns of each part, before the next.
		parts := 0
		observed := store.ObserveWrites(ctx, func(w store.Write) {
			if parts++; parts == 2 {
				other := newSite("parent")
				other.Spec.Image = "x"
				Expect(s.Update(context.WithoutCancel(ctx), other)).Error().NotTo(HaveOccurred())
			}
		})
		t := s.Txn()
		for i := range 1000 {
			t.Create(newSite(fmt.Sprintf("child-%05d", i)))
		}
		if written {
			parent.Status.Ready = 1000
			t.UpdateStatus(parent)
		}
		t.AllowSplit(parent)
		_, err := t.Commit(observed)
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
		Expect(err).To(MatchError(ContainSubstring("254 were written")))
		Expect(children(ctx)).To(HaveLen(254))
		Expect(get(ctx, s, "parent").Status.Ready).To(BeZero())
	},
		Entry("which it writes", true),
		Entry("which it does not write", false),
	)

	It("checks its conditions and its fences in each part", func(ctx SpecContext) {
		other := created(ctx, s, "other")
		fence := store.Fence{Key: s.Prefix() + "fence", CreateRevision: put(ctx, s.Prefix()+"fence", "")}
		for _, disturb := range []func(){
			func() {
				Expect(s.Delete(context.WithoutCancel(ctx), newSite("other"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
			},
			func() { Expect(server.Client().Delete(ctx, fence.Key)).Error().NotTo(HaveOccurred()) },
		} {
			before, parts := len(children(ctx)), 0
			observed := store.ObserveWrites(ctx, func(w store.Write) {
				if parts++; parts == 3 {
					disturb()
				}
			})
			t := s.WithFences(fence).Txn()
			t.AllowSplit(parent)
			if before == 1 {
				t.Unchanged(other)
			}
			for range 1000 {
				site := newSite("")
				site.GenerateName = "child-"
				t.Create(site)
			}
			_, err := t.Commit(observed)
			Expect(err).To(HaveOccurred())
			Expect(len(children(ctx)) - before).To(And(BeNumerically(">", 300), BeNumerically("<", 400)))
		}
	})

	It("cannot be split if it has conditions on ranges, or more conditions than fit", func(ctx SpecContext) {
		before := revision(ctx, s)
		t := creating(1)
		for i := range store.MaxTxnOps {
			t.Absent(newSite(fmt.Sprint("absent-", i)))
		}
		_, err := t.Commit(ctx)
		Expect(err).To(MatchError(apierrors.IsRequestEntityTooLargeError, "RequestEntityTooLarge"))
		Expect(err).To(MatchError(ContainSubstring("it writes 1 objects, checks 129 others")))

		t = creating(1000)
		t.UnchangedSince(before, parent, "default")
		_, err = t.Commit(ctx)
		Expect(err).To(MatchError(apierrors.IsRequestEntityTooLargeError, "RequestEntityTooLarge"))
		Expect(err).To(MatchError(ContainSubstring("conditions on ranges")))
		Expect(revision(ctx, s)).To(Equal(before))
	})

	It("commits with conditions only, and when empty", func(ctx SpecContext) {
		t := s.Txn()
		t.AllowSplit(parent)
		Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
		Expect(s.Delete(ctx, newSite("parent"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		t = s.Txn()
		t.AllowSplit(parent)
		Expect(t.Commit(ctx)).Error().To(MatchError(apierrors.IsNotFound, "NotFound"))
		t = s.Txn()
		t.AllowSplit(newSite("x"))
		Expect(t.Commit(ctx)).Error().To(MatchError(ContainSubstring("no resourceVersion")))
	})
})
