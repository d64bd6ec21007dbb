package store_test

import (
	"fmt"
	"math"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A transaction with conditions", func() {
	It("writes if they hold", func(ctx SpecContext) {
		s := newStore()
		t := s.Txn()
		t.Unchanged(created(ctx, s, "there"))
		t.Absent(newSite("absent"))
		t.Create(newSite("a"))
		Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
	})

	It("refuses to write if an object has changed", func(ctx SpecContext) {
		s := newStore()
		there := created(ctx, s, "there")
		changed := there.DeepCopy()
		changed.Spec.Image = "x"
		Expect(s.Update(ctx, changed)).Error().NotTo(HaveOccurred())
		t := s.Txn()
		t.Unchanged(there)
		t.Create(newSite("a"))
		_, err := t.Commit(ctx)
		Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
		_, err = store.Get[*Site](ctx, s, store.Key{Namespace: "default", Name: "a"})
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
	})

	It("refuses to write if an object is gone", func(ctx SpecContext) {
		s := newStore()
		there := created(ctx, s, "there")
		Expect(s.Delete(ctx, newSite("there"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		t := s.Txn()
		t.Unchanged(there)
		_, err := t.Commit(ctx)
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
	})

	It("refuses to write if an object exists that must not", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "there")
		t := s.Txn()
		t.Absent(newSite("there"))
		_, err := t.Commit(ctx)
		Expect(err).To(MatchError(apierrors.IsAlreadyExists, "AlreadyExists"))
	})

	It("needs a resourceVersion to compare with", func(ctx SpecContext) {
		t := newStore().Txn()
		t.Unchanged(newSite("a"))
		_, err := t.Commit(ctx)
		Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
	})

	Describe("on an object that it writes", func() {
		write := map[string]func(t *store.Txn, obj *Site){
			"update":        func(t *store.Txn, obj *Site) { t.Update(obj) },
			"status update": func(t *store.Txn, obj *Site) { t.UpdateStatus(obj) },
			"delete":        func(t *store.Txn, obj *Site) { t.Delete(obj, store.DeleteOptions{}) },
		}
		for what, add := range write {
			for order, first := range map[string]bool{"before": true, "after": false} {
				commit := func(ctx SpecContext, s *store.Store, seen *Site) error {
					blind := newSite("a")
					blind.Spec.Image, blind.Status.Note = "y", "y"
					t := s.Txn()
					if first {
						t.Unchanged(seen)
					}
					add(t, blind)
					if !first {
						t.Unchanged(seen)
					}
					t.Unchanged(seen) // it may be said twice
					Expect(t.Len()).To(Equal(1))
					_, err := t.Commit(ctx)
					return err
				}

				It(fmt.Sprintf("hold for the %s, when they come %s it", what, order), func(ctx SpecContext) {
					s := newStore()
					seen := created(ctx, s, "a")
					Expect(commit(ctx, s, seen)).To(Succeed())
					Expect(revision(ctx, s)).To(BeNumerically(">", must(store.ParseRevision(seen.ResourceVersion))))
				})

				It(fmt.Sprintf("refuse the %s, when they come %s it", what, order), func(ctx SpecContext) {
					s := newStore()
					seen := created(ctx, s, "a")
					changed := seen.DeepCopy()
					changed.Spec.Image = "x"
					Expect(s.Update(ctx, changed)).Error().NotTo(HaveOccurred())
					Expect(commit(ctx, s, seen)).To(MatchError(apierrors.IsConflict, "Conflict"))
					Expect(get(ctx, s, "a")).To(Equal(changed))
				})
			}
		}

		It("contradict a write that saw another revision", func(ctx SpecContext) {
			s := newStore()
			seen := created(ctx, s, "a")
			newer := seen.DeepCopy()
			newer.Spec.Image = "x"
			Expect(s.Update(ctx, newer)).Error().NotTo(HaveOccurred())
			t := s.Txn()
			t.Update(newer)
			t.Unchanged(seen)
			_, err := t.Commit(ctx)
			Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
		})

		It("may require that a created object is absent", func(ctx SpecContext) {
			s := newStore()
			t := s.Txn()
			t.Absent(newSite("a"))
			t.Create(newSite("a"))
			t.Absent(newSite("a"))
			Expect(t.Len()).To(Equal(1))
			Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
		})
	})

	Describe("on a range", func() {
		in := func(namespace, name string) *Site {
			site := newSite(name)
			site.Namespace = namespace
			return site
		}
		// commit creates a site on condition that a namespace is as it was.
		commit := func(ctx SpecContext, s *store.Store, namespace string, since int64) error {
			t := s.Txn()
			t.Create(in("elsewhere", fmt.Sprint("made-", since, namespace)))
			t.UnchangedSince(since, &Site{}, namespace)
			_, err := t.Commit(ctx)
			return err
		}

		It("hold while nothing in the range appears or changes, even if it is empty", func(ctx SpecContext) {
			s := newStore()
			Expect(commit(ctx, s, "default", revision(ctx, s))).To(Succeed())
			Expect(commit(ctx, s, "", revision(ctx, s))).To(Succeed())
			Expect(commit(ctx, s, "default", math.MaxInt64)).To(Succeed())
			a := created(ctx, s, "a")
			created(ctx, s, "b")
			now := revision(ctx, s)
			Expect(s.Create(ctx, in("default-2", "x"))).Error().NotTo(HaveOccurred())
			Expect(s.Create(ctx, &Region{ObjectMeta: a.ObjectMeta})).Error().To(HaveOccurred())
			Expect(s.Delete(ctx, a, store.DeleteOptions{})).Error().NotTo(HaveOccurred())
			Expect(commit(ctx, s, "default", now)).To(Succeed(), "a deletion leaves nothing to see")
		})

		It("do not hold if an object has appeared or changed", func(ctx SpecContext) {
			s := newStore()
			a := created(ctx, s, "a")
			now := revision(ctx, s)
			created(ctx, s, "b")
			for _, namespace := range []string{"default", ""} {
				err := commit(ctx, s, namespace, now)
				Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
				Expect(err).To(MatchError(ContainSubstring(siteKey(s, "b"))))
			}
			now = revision(ctx, s)
			a.Spec.Image = "x"
			Expect(s.Update(ctx, a)).Error().NotTo(HaveOccurred())
			Expect(commit(ctx, s, "default", now)).To(MatchError(apierrors.IsConflict, "Conflict"))
			Expect(must(store.List[*Site](ctx, s, store.ListOptions{})).Items).To(HaveLen(2))
		})

		It("refuse a write that would otherwise be retried", func(ctx SpecContext) {
			s := newStore()
			created(ctx, s, "a")
			now := revision(ctx, s)
			created(ctx, s, "b")
			t := s.Txn()
			blind := newSite("a")
			blind.Spec.Image = "x"
			t.Update(blind)
			t.UnchangedSince(now, blind, "default")
			_, err := t.Commit(ctx)
			Expect(err).To(MatchError(apierrors.IsConflict, "Conflict"))
		})

		It("can be the only content of a transaction", func(ctx SpecContext) {
			s := newStore()
			now := revision(ctx, s)
			created(ctx, s, "a")
			for since, refused := range map[int64]bool{now: true, now + 1: false} {
				t := s.Txn()
				t.UnchangedSince(since, &Site{}, "")
				_, err := t.Commit(ctx)
				Expect(apierrors.IsConflict(err)).To(Equal(refused))
			}
		})

		DescribeTable("must name a range", func(ctx SpecContext, add func(t *store.Txn), message string) {
			t := newStore().Txn()
			add(t)
			_, err := t.Commit(ctx)
			Expect(err).To(MatchError(ContainSubstring(message)))
		},
			Entry("unknown kind", func(t *store.Txn) { t.UnchangedSince(1, &store.Resource[int, int]{}, "") }, "not known"),
			Entry("no revision", func(t *store.Txn) { t.UnchangedSince(0, &Site{}, "") }, "revision 0"),
			Entry("cluster-scoped", func(t *store.Txn) { t.UnchangedSince(1, &Region{}, "default") }, "cluster-scoped"),
			Entry("namespace", func(t *store.Txn) { t.UnchangedSince(1, &Site{}, "..") }, `".."`),
		)
	})
})
