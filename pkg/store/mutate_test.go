package store_test

import (
	"context"
	"errors"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("Mutate", func() {
	key := store.Key{Namespace: "default", Name: "a"}
	increment := func(s *Site) error {
		s.Spec.Replicas++
		s.Status.Ready++
		return nil
	}

	It("writes spec, status and metadata together", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		site, rev, err := store.Mutate(ctx, s, key, func(s *Site) error {
			s.Labels = map[string]string{"x": "y"}
			return increment(s)
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(rev).To(Equal(revision(ctx, s)))
		Expect(site).To(Equal(get(ctx, s, "a")))
		Expect(site.Spec.Replicas).To(BeEquivalentTo(1))
		Expect(site.Status.Ready).To(BeEquivalentTo(1))
		Expect(site.Labels).To(HaveKeyWithValue("x", "y"))
	})

	It("costs one read and one write", func(ctx SpecContext) {
		w := &wire{}
		s := newStoreOn(newClient(w.tap))
		created(ctx, s, "a")
		Expect(w.during(func() {
			_, _, err := store.Mutate(ctx, s, key, increment)
			Expect(err).NotTo(HaveOccurred())
		})).To(Equal([]string{"Range", "Txn"}))
	})

	It("loses no update of 200 at once", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				defer GinkgoRecover()
				_, _, err := store.Mutate(ctx, s, key, increment)
				Expect(err).NotTo(HaveOccurred())
			})
		}
		wg.Wait()
		site := get(ctx, s, "a")
		Expect(site.Spec.Replicas).To(BeEquivalentTo(200))
		Expect(site.Status.Ready).To(BeEquivalentTo(200))
		Expect(site.Generation).To(BeEquivalentTo(201))
	})

	It("writes nothing when nothing changes", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a")
		same, rev, err := store.Mutate(ctx, s, key, func(*Site) error { return nil })
		Expect(err).NotTo(HaveOccurred())
		Expect(store.FormatRevision(rev)).To(Equal(site.ResourceVersion))
		Expect(same.ResourceVersion).To(Equal(site.ResourceVersion))
		Expect(revision(ctx, s)).To(Equal(rev))
	})

	It("ends with the error of change, and writes nothing", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		stop := errors.New("stop")
		site, _, err := store.Mutate(ctx, s, key, func(s *Site) error {
			s.Spec.Replicas = 9
			return stop
		})
		Expect(err).To(BeIdenticalTo(stop))
		Expect(site).To(BeNil())
		Expect(get(ctx, s, "a").Spec.Replicas).To(BeZero())
	})

	It("says when there is no such object", func(ctx SpecContext) {
		_, _, err := store.Mutate(ctx, newStore(), key, increment)
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
	})

	It("starts again when another writer is faster", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		runs := 0
		_, _, err := store.Mutate(ctx, s, key, func(site *Site) error {
			if runs++; runs == 1 {
				other := get(ctx, s, "a")
				other.Spec.Image = "theirs"
				Expect(s.Update(ctx, other)).Error().NotTo(HaveOccurred())
			}
			return increment(site)
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(runs).To(Equal(2))
		there := get(ctx, s, "a")
		Expect(there.Spec.Image).To(Equal("theirs"))
		Expect(there.Spec.Replicas).To(BeEquivalentTo(1))
	})

	It("stops when its context is done, however often it conflicts", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		bounded, cancel := context.WithCancel(ctx)
		runs := 0
		_, _, err := store.Mutate(bounded, s, key, func(site *Site) error {
			if runs++; runs == 3 {
				cancel()
			}
			_, _, err := store.Mutate(ctx, s, key, increment)
			Expect(err).NotTo(HaveOccurred())
			return increment(site)
		})
		Expect(errors.Is(err, context.Canceled)).To(BeTrue())
		Expect(runs).To(Equal(3))
	})

	DescribeTable("refuses a change that would conflict for ever", func(ctx SpecContext, change func(*Site)) {
		s := newStore()
		created(ctx, s, "a")
		_, _, err := store.Mutate(ctx, s, key, func(s *Site) error {
			change(s)
			return nil
		})
		Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
	},
		Entry("name", func(s *Site) { s.Name = "b" }),
		Entry("uid", func(s *Site) { s.UID = "x" }),
		Entry("resourceVersion", func(s *Site) { s.ResourceVersion = "1" }),
	)

	It("completes a deletion", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a", finalizer("example.com/f"))
		Expect(s.Delete(ctx, newSite("a"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		_, rev, err := store.Mutate(ctx, s, key, func(s *Site) error { s.Finalizers = nil; return nil })
		Expect(err).NotTo(HaveOccurred())
		Expect(rev).To(Equal(revision(ctx, s)))
		_, err = store.Get[*Site](ctx, s, key)
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
	})
})
