package store_test

import (
	"fmt"
	"math"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = DescribeTable("The generation begins again at 1 after a number that cannot be raised", func(ctx SpecContext, generation int64) {
	s := newStore()
	put(ctx, siteKey(s, "a"), fmt.Sprintf(`{"apiVersion":"example.com/v1","kind":"Site","metadata":{"name":"a","namespace":"default","generation":%d},"spec":{"image":"x"}}`, generation))
	site := get(ctx, s, "a")
	site.Spec.Image = "y"
	Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
	Expect(get(ctx, s, "a").Generation).To(BeEquivalentTo(1))
},
	Entry(nil, int64(math.MaxInt64)),
	Entry(nil, int64(math.MinInt64)),
	Entry(nil, int64(-2)),
)

var _ = Describe("Update", func() {
	It("writes at the revision that the caller saw", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a")
		site.Spec.Replicas = 3
		rev, err := s.Update(ctx, site)
		Expect(err).NotTo(HaveOccurred())
		Expect(site.ResourceVersion).To(Equal(store.FormatRevision(rev)))
		Expect(get(ctx, s, "a").Spec.Replicas).To(BeEquivalentTo(3))
	})

	It("conflicts if the object has changed since, and leaves the caller's object alone", func(ctx SpecContext) {
		s := newStore()
		mine := created(ctx, s, "a")
		theirs := mine.DeepCopy()
		theirs.Spec.Image = "theirs"
		Expect(s.Update(ctx, theirs)).Error().NotTo(HaveOccurred())
		mine.Spec.Image = "mine"
		before := mine.DeepCopy()
		_, err := s.Update(ctx, mine)
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
		Expect(mine).To(Equal(before))
		Expect(get(ctx, s, "a").Spec.Image).To(Equal("theirs"))
	})

	It("replaces any stored object if the caller's object has no resourceVersion", func(ctx SpecContext) {
		s := newStore()
		first := created(ctx, s, "a", func(s *Site) { s.Spec.Image = "old" })
		site := newSite("a")
		site.Spec.Replicas = 5
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(site.UID).To(Equal(first.UID))
		Expect(site.CreationTimestamp.Time).To(BeTemporally("==", first.CreationTimestamp.Time))
		Expect(site.Spec.Image).To(BeEmpty())
		Expect(site.Generation).To(BeEquivalentTo(2))
	})

	It("loses no unconditional update to contention", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				defer GinkgoRecover()
				site := newSite("a")
				site.Spec.Replicas = int32(i + 1)
				Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
			})
		}
		wg.Wait()
		Expect(get(ctx, s, "a").Generation).To(BeEquivalentTo(31))
	})

	It("says when there is no such object", func(ctx SpecContext) {
		s := newStore()
		_, err := s.Update(ctx, newSite("a"))
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
		site := created(ctx, s, "a")
		Expect(s.Delete(ctx, newSite("a"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		_, err = s.Update(ctx, site)
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
	})

	It("refuses an object without a name", func(ctx SpecContext) {
		site := newSite("")
		site.GenerateName = "a-"
		_, err := newStore().Update(ctx, site)
		Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
	})

	It("refuses an invalid resourceVersion", func(ctx SpecContext) {
		site := newSite("a")
		site.ResourceVersion = "x"
		_, err := newStore().Update(ctx, site)
		Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
	})

	It("reports a stored value that cannot be decoded", func(ctx SpecContext) {
		s := newStore()
		put(ctx, siteKey(s, "a"), "garbage")
		_, err := s.Update(ctx, newSite("a"))
		var undecodable *store.UndecodableError
		Expect(asError(err, &undecodable)).To(BeTrue())
		Expect(undecodable.Keys).To(ConsistOf(siteKey(s, "a")))
	})

	It("does not touch the status", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a")
		site.Status.Ready = 2
		Expect(s.UpdateStatus(ctx, site)).Error().NotTo(HaveOccurred())
		site.Status.Ready, site.Spec.Image = 9, "x"
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(site.Status.Ready).To(BeEquivalentTo(2))
		Expect(get(ctx, s, "a").Status.Ready).To(BeEquivalentTo(2))
	})

	It("increments the generation only if the spec changes", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a")
		site.Labels = map[string]string{"x": "y"}
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(site.Generation).To(BeEquivalentTo(1))
		site.Spec.Replicas = 1
		site.Generation = 77
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(site.Generation).To(BeEquivalentTo(2))
	})

	It("compares specs as they are stored", func(ctx SpecContext) {
		s := newStore()
		opened := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		site := created(ctx, s, "a", func(s *Site) { s.Spec.Opened = opened })
		site.Spec.Opened = opened.Add(time.Hour)
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(site.Generation).To(BeEquivalentTo(2))
		site.Spec.Tags = []string{}
		rev := site.ResourceVersion
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(site.Generation).To(BeEquivalentTo(2))
		Expect(site.ResourceVersion).To(Equal(rev))
	})

	It("writes nothing when nothing changes", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a", finalizer("example.com/f"))
		before, now := site.DeepCopy(), revision(ctx, s)
		rev, err := s.Update(ctx, site)
		Expect(err).NotTo(HaveOccurred())
		Expect(store.FormatRevision(rev)).To(Equal(before.ResourceVersion))
		Expect(site.ResourceVersion).To(Equal(before.ResourceVersion))
		bare := newSite("a")
		bare.Finalizers = before.Finalizers
		Expect(s.Update(ctx, bare)).To(Equal(rev))
		Expect(revision(ctx, s)).To(Equal(now))
	})

	It("still conflicts when nothing would change but the object has", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a")
		other := site.DeepCopy()
		other.Spec.Image = "x"
		Expect(s.Update(ctx, other)).Error().NotTo(HaveOccurred())
		_, err := s.Update(ctx, site)
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
	})

	It("refuses another uid", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a")
		site.UID = "other"
		_, err := s.Update(ctx, site)
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
	})

	It("refuses another creationTimestamp", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a")
		site.CreationTimestamp = metav1.NewTime(time.Unix(1, 0))
		_, err := s.Update(ctx, site)
		Expect(err).To(MatchError(apierrors.IsInvalid, "Invalid"))
	})

	It("ignores a deletionTimestamp", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a")
		now := metav1.Now()
		site.DeletionTimestamp = &now
		Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(get(ctx, s, "a").DeletionTimestamp).To(BeNil())
	})

	DescribeTable("refuses what is invalid", func(ctx SpecContext, change func(*Site)) {
		s := newStore()
		site := created(ctx, s, "a")
		change(site)
		before := site.DeepCopy()
		_, err := s.Update(ctx, site)
		Expect(err).To(MatchError(apierrors.IsInvalid, "Invalid"))
		Expect(site).To(Equal(before))
	},
		Entry("label", labelled("a b", "")),
		Entry("annotation", func(s *Site) { s.Annotations = map[string]string{"a b": ""} }),
		Entry("finalizer", finalizer("a b")),
		Entry("owner", func(s *Site) { s.OwnerReferences = []metav1.OwnerReference{{}} }),
		Entry("the kind's own rule", func(s *Site) { s.Spec.Zone = "b" }),
	)

	It("conflicts for an object that was deleted and created again", func(ctx SpecContext) {
		s := newStore()
		old := created(ctx, s, "a")
		Expect(s.Delete(ctx, newSite("a"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		created(ctx, s, "a")
		_, err := s.Update(ctx, old)
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
		old.ResourceVersion = ""
		_, err = s.Update(ctx, old)
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
		_, err = s.UpdateStatus(ctx, old)
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
	})

	Describe("of an object that is being deleted", func() {
		It("adds no finalizer", func(ctx SpecContext) {
			s := newStore()
			site := created(ctx, s, "a", finalizer("example.com/f"))
			Expect(s.Delete(ctx, site, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
			site.Finalizers = append(site.Finalizers, "example.com/g")
			_, err := s.Update(ctx, site)
			Expect(err).To(MatchError(apierrors.IsInvalid, "Invalid"))
		})

		It("completes the deletion with the last finalizer", func(ctx SpecContext) {
			s := newStore()
			site := created(ctx, s, "a", finalizer("example.com/f", "example.com/g"))
			Expect(s.Delete(ctx, site, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
			site.Finalizers = site.Finalizers[:1]
			Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
			get(ctx, s, "a")
			site.Finalizers = nil
			rev, err := s.Update(ctx, site)
			Expect(err).NotTo(HaveOccurred())
			Expect(rev).To(Equal(revision(ctx, s)))
			Expect(site.ResourceVersion).To(Equal(store.FormatRevision(rev)))
			_, err = store.Get[*Site](ctx, s, store.KeyOf(site))
			Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
		})

		It("keeps the object during its grace period", func(ctx SpecContext) {
			s := newStore()
			site := created(ctx, s, "a", finalizer("example.com/f"))
			Expect(s.Delete(ctx, site, store.DeleteOptions{GracePeriodSeconds: 30})).Error().NotTo(HaveOccurred())
			site.Finalizers = nil
			Expect(s.Update(ctx, site)).Error().NotTo(HaveOccurred())
			get(ctx, s, "a")
			Expect(s.Delete(ctx, site, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
			_, err := store.Get[*Site](ctx, s, store.KeyOf(site))
			Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
		})
	})
})

var _ = Describe("UpdateStatus", func() {
	It("writes the status and the annotations, and nothing else", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a", labelled("x", "y"))
		site.Status.Ready = 4
		site.Annotations = map[string]string{"note": "1"}
		site.Spec.Replicas, site.Labels, site.Finalizers = 9, nil, []string{"example.com/f"}
		Expect(s.UpdateStatus(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(site.Spec.Replicas).To(BeZero())
		there := get(ctx, s, "a")
		Expect(there.Status.Ready).To(BeEquivalentTo(4))
		Expect(there.Annotations).To(Equal(map[string]string{"note": "1"}))
		Expect(there.Labels).To(Equal(map[string]string{"x": "y"}))
		Expect(there.Spec.Replicas).To(BeZero())
		Expect(there.Finalizers).To(BeEmpty())
		Expect(there.Generation).To(BeEquivalentTo(1))
	})

	It("removes annotations", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a", func(s *Site) { s.Annotations = map[string]string{"note": "1"} })
		site.Annotations = nil
		Expect(s.UpdateStatus(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(get(ctx, s, "a").Annotations).To(BeEmpty())
	})

	It("conflicts, and writes nothing when nothing changes, as Update does", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a")
		stale := site.DeepCopy()
		site.Status.Ready = 1
		Expect(s.UpdateStatus(ctx, site)).Error().NotTo(HaveOccurred())
		stale.Status.Ready = 2
		_, err := s.UpdateStatus(ctx, stale)
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
		now := revision(ctx, s)
		Expect(s.UpdateStatus(ctx, site)).Error().NotTo(HaveOccurred())
		Expect(revision(ctx, s)).To(Equal(now))
	})
})
