package store_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A dry run", func() {
	dryRun := func(s *store.Store, add func(*store.Txn)) *store.Txn {
		t := s.Txn()
		add(t)
		t.DryRun()
		return t
	}

	It("shows what each verb would store, and writes nothing", func(ctx SpecContext) {
		s := newStore()
		held := created(ctx, s, "held", func(s *Site) { s.Finalizers = []string{"example.com/held"} })
		before := revision(ctx, s)

		fresh := newSite("")
		fresh.GenerateName = "fresh-"
		Expect(dryRun(s, func(t *store.Txn) { t.Create(fresh) }).Commit(ctx)).To(BeZero())
		Expect(fresh.Name).To(HavePrefix("fresh-"))
		Expect(fresh.UID).NotTo(BeEmpty())
		Expect(fresh.ResourceVersion).To(BeEmpty())

		changed := held.DeepCopy()
		changed.Spec.Replicas = 7
		Expect(dryRun(s, func(t *store.Txn) { t.Update(changed) }).Commit(ctx)).Error().NotTo(HaveOccurred())
		Expect(changed.Generation).To(BeEquivalentTo(2))
		Expect(changed.ResourceVersion).To(Equal(held.ResourceVersion))

		gone := held.DeepCopy()
		Expect(dryRun(s, func(t *store.Txn) { t.Delete(gone, store.DeleteOptions{}) }).Commit(ctx)).Error().NotTo(HaveOccurred())
		Expect(gone.DeletionTimestamp).NotTo(BeNil())

		Expect(revision(ctx, s)).To(Equal(before))
		Expect(get(ctx, s, "held")).To(Equal(held))
	})

	It("fails as the write would", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a")
		Expect(dryRun(s, func(t *store.Txn) { t.Create(newSite("a")) }).Commit(ctx)).Error().To(MatchError(apierrors.IsAlreadyExists, "AlreadyExists"))
		stale := site.DeepCopy()
		site.Spec.Replicas = 2
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
		stale.Spec.Replicas = 3
		Expect(dryRun(s, func(t *store.Txn) { t.Update(stale) }).Commit(ctx)).Error().To(MatchError(apierrors.IsConflict, "Conflict"))
		Expect(dryRun(s, func(t *store.Txn) { t.Delete(newSite("b"), store.DeleteOptions{}) }).Commit(ctx)).Error().To(MatchError(apierrors.IsNotFound, "NotFound"))
		var observed []store.Write
		watched := store.ObserveWrites(ctx, func(w store.Write) { observed = append(observed, w) })
		Expect(dryRun(s, func(t *store.Txn) { t.Create(newSite("c")) }).Commit(watched)).Error().NotTo(HaveOccurred())
		Expect(observed).To(HaveExactElements(HaveField("Replaced", BeNil())))
	})
})

var _ = Describe("managedFields", func() {
	entry := func(manager string) []metav1.ManagedFieldsEntry {
		return []metav1.ManagedFieldsEntry{{Manager: manager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: "example.com/v1",
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:replicas":{}}}`)}}
	}

	It("stay with writers that do not know of them, and follow those that do", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a", func(s *Site) { s.ManagedFields = entry("first") })
		ignorant := newSite("a")
		ignorant.Spec.Replicas = 4
		Expect(s.Update(ctx, ignorant)).Error().NotTo(HaveOccurred())
		Expect(get(ctx, s, "a").ManagedFields).To(Equal(entry("first")))

		site := get(ctx, s, "a")
		site.Status.Ready, site.ManagedFields = 1, entry("status")
		Expect(s.UpdateStatus(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(get(ctx, s, "a").ManagedFields).To(Equal(entry("status")))

		late := newSite("a")
		late.Status.Ready, late.ManagedFields = 2, entry("late")
		Expect(s.UpdateStatus(ctx, late)).Error().NotTo(HaveOccurred())
		Expect(get(ctx, s, "a").ManagedFields).To(Equal(entry("status")), "the writer does not know whose they are")

		site = get(ctx, s, "a")
		site.ManagedFields = []metav1.ManagedFieldsEntry{}
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(get(ctx, s, "a").ManagedFields).To(BeEmpty())
	})
})
