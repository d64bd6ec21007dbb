package store_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("ObserveWrites", func() {
	// observed returns a context, and what tells of the only write under it.
	observed := func(ctx context.Context) (context.Context, func() store.Write) {
		var writes []store.Write
		return store.ObserveWrites(ctx, func(w store.Write) { writes = append(writes, w) }), func() store.Write {
			GinkgoHelper()
			Expect(writes).To(HaveLen(1))
			return writes[0]
		}
	}

	It("reports a write and its revision", func(ctx SpecContext) {
		s := newStore()
		under, write := observed(ctx)
		rev, err := s.Create(under, newSite("a"))
		Expect(err).NotTo(HaveOccurred())
		Expect(write()).To(Equal(store.Write{Client: s.Client(), Keys: []string{siteKey(s, "a")}, Revision: rev, Replaced: []int64{0}}))
	})

	It("reports all keys of a transaction, including generated names", func(ctx SpecContext) {
		s := newStore()
		generated := newSite("")
		generated.GenerateName = "g-"
		under, write := observed(ctx)
		t := s.Txn()
		t.Create(newSite("a"))
		t.Create(generated)
		Expect(t.Commit(under)).Error().NotTo(HaveOccurred())
		Expect(write().Keys).To(Equal([]string{siteKey(s, "a"), siteKey(s, generated.Name)}))
	})

	It("reports, for a write that changed nothing, a revision that shows it", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a")
		under, write := observed(ctx)
		Expect(s.Update(under, site)).Error().NotTo(HaveOccurred())
		Expect(store.FormatRevision(write().Revision)).To(Equal(site.ResourceVersion))
		Expect(write().Replaced).To(BeNil())
	})

	It("reports what each object was before", func(ctx SpecContext) {
		s := newStore()
		a, b := created(ctx, s, "a"), created(ctx, s, "b")
		were := []int64{revision(ctx, s) - 1, 0, revision(ctx, s)}
		under, write := observed(ctx)
		a.ResourceVersion, a.Spec.Image = "", "x"
		t := s.Txn()
		t.Update(a)
		t.Create(newSite("c"))
		t.Unchanged(b)
		Expect(t.Commit(under)).Error().NotTo(HaveOccurred())
		Expect(write().Replaced).To(Equal(were))
	})

	It("reports, for conditions without writes, the revision at which they held", func(ctx SpecContext) {
		s := newStore()
		under, write := observed(ctx)
		t := s.Txn()
		t.Absent(newSite("a"))
		Expect(t.Commit(under)).Error().NotTo(HaveOccurred())
		Expect(write().Revision).To(Equal(revision(ctx, s)))
		Expect(write().Replaced).To(BeNil())
	})

	It("reports, for a refused write, a revision that shows why", func(ctx SpecContext) {
		s := newStore()
		stale := created(ctx, s, "a")
		site := stale.DeepCopy()
		site.Spec.Image = "x"
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
		under, write := observed(ctx)
		_, err := s.Update(under, stale)
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
		Expect(write().Err).To(BeIdenticalTo(err))
		Expect(write().Replaced).To(BeNil())
		Expect(store.FormatRevision(write().Revision)).To(Equal(site.ResourceVersion))
	})

	It("reports no revision if etcd was not asked", func(ctx SpecContext) {
		under, write := observed(ctx)
		_, err := newStore().Create(under, newSite(""))
		Expect(err).To(HaveOccurred())
		Expect(write().Revision).To(BeZero())
		Expect(write().Err).To(BeIdenticalTo(err))
	})

	It("reports no revision if the outcome is unknown", func(ctx SpecContext) {
		w := &wire{}
		s := newStoreOn(newClient(w.tap))
		created(ctx, s, "a")
		w.onTxn(2, func(func() error) error { return status.Error(codes.Unavailable, "error reading from server: EOF") })
		under, write := observed(ctx)
		_, err := s.Delete(under, newSite("a"), store.DeleteOptions{})
		Expect(store.IsUnknownOutcome(err)).To(BeTrue())
		Expect(write().Revision).To(BeZero())
	})

	It("calls the observers of outer contexts too", func(ctx SpecContext) {
		outer, outerWrite := observed(ctx)
		inner, innerWrite := observed(outer)
		Expect(newStore().Create(inner, newSite("a"))).Error().NotTo(HaveOccurred())
		Expect(innerWrite()).To(Equal(outerWrite()))
	})
})
