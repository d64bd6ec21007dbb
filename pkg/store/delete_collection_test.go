package store_test

import (
	"fmt"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("DeleteCollection", func() {
	remaining := func(ctx SpecContext, s *store.Store) []string {
		GinkgoHelper()
		return names(must(store.List[*Site](ctx, s, store.ListOptions{})).Items)
	}
	doomed := store.ListOptions{Namespace: "default", Selector: labels.SelectorFromSet(labels.Set{"doomed": "yes"})}

	It("deletes all selected objects, however many, and no others", func(ctx SpecContext) {
		s := newStore()
		fill(ctx, s, 250, labelled("doomed", "yes"))
		created(ctx, s, "z")
		Expect(s.Create(ctx, &Site{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "z", Labels: map[string]string{"doomed": "yes"}}})).Error().NotTo(HaveOccurred())
		var writes []store.Write
		observed := store.ObserveWrites(ctx, func(w store.Write) { writes = append(writes, w) })
		deleted, rev, err := store.DeleteCollection[*Site](observed, s, doomed, store.DeleteOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(deleted).To(Equal(250))
		Expect(rev).To(Equal(revision(ctx, s)))
		Expect(remaining(ctx, s)).To(Equal([]string{"default/z", "other/z"}))
		Expect(writes).To(HaveLen(3), "transactions of a hundred")
		Expect(writes[2].Revision).To(Equal(rev))
		keys := 0
		for _, w := range writes {
			keys += len(w.Keys)
		}
		Expect(keys).To(Equal(250))
	})

	It("writes nothing if there are no objects", func(ctx SpecContext) {
		s := newStore()
		deleted, rev, err := store.DeleteCollection[*Site](ctx, s, store.ListOptions{}, store.DeleteOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(deleted).To(BeZero())
		Expect(rev).To(Equal(revision(ctx, s)))
	})

	It("only marks objects with finalizers, once, and objects that get one meanwhile", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		created(ctx, s, "b", finalizer("example.com/f"))
		deleted, _, err := store.DeleteCollection[*Site](ctx, s, store.ListOptions{}, store.DeleteOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(deleted).To(Equal(2))
		Expect(remaining(ctx, s)).To(Equal([]string{"default/b"}))
		Expect(get(ctx, s, "b").DeletionTimestamp).NotTo(BeNil())

		created(ctx, s, "c")
		deleted, rev, err := store.DeleteCollection[*Site](ctx, s, store.ListOptions{}, store.DeleteOptions{Propagation: metav1.DeletePropagationOrphan})
		Expect(err).NotTo(HaveOccurred())
		Expect(deleted).To(Equal(2))
		Expect(get(ctx, s, "c").Finalizers).To(Equal([]string{"orphan"}))
		deleted, again, err := store.DeleteCollection[*Site](ctx, s, store.ListOptions{}, store.DeleteOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(deleted).To(BeZero())
		Expect(again).To(Equal(rev))
	})

	It("names the objects that must stay, and deletes the rest", func(ctx SpecContext) {
		s := newStore()
		fill(ctx, s, 120)
		for _, name := range []string{"p1", "p2"} {
			created(ctx, s, name, labelled("protected", "true"))
		}
		put(ctx, siteKey(s, "u"), "garbage")
		deleted, rev, err := store.DeleteCollection[*Site](ctx, s, store.ListOptions{}, store.DeleteOptions{})
		Expect(err).To(MatchError(apierrors.IsInvalid, "Invalid"))
		Expect(err).To(MatchError(And(ContainSubstring("p1"), ContainSubstring("p2"))))
		var undecodable *store.UndecodableError
		Expect(asError(err, &undecodable)).To(BeTrue())
		Expect(undecodable.Keys).To(Equal([]string{siteKey(s, "u")}))
		Expect(deleted).To(Equal(120))
		Expect(rev).To(Equal(revision(ctx, s)))
		left, _ := store.List[*Site](ctx, s, store.ListOptions{}) // the error is that of the undecodable one
		Expect(names(left.Items)).To(Equal([]string{"default/p1", "default/p2"}))
	})

	It("reads changed objects again, and leaves objects that were created later", func(ctx SpecContext) {
		s := newStore()
		for _, name := range []string{"a", "b", "c", "d"} {
			created(ctx, s, name, labelled("doomed", "yes"))
		}
		w := &wire{}
		slow := newStoreOn(newClient(w.tap), sharing(s))
		w.onTxn(1, func(call func() error) error { // the batch
			released := get(ctx, s, "a")
			released.Labels = nil
			Expect(s.Update(ctx, released)).Error().NotTo(HaveOccurred())
			changed := get(ctx, s, "b")
			changed.Spec.Image = "x"
			Expect(s.Update(ctx, changed)).Error().NotTo(HaveOccurred())
			Expect(s.Delete(ctx, newSite("c"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
			Expect(s.Delete(ctx, newSite("d"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
			created(ctx, s, "d", labelled("doomed", "yes"))
			created(ctx, s, "e", labelled("doomed", "yes"))
			return call()
		})
		deleted, rev, err := store.DeleteCollection[*Site](ctx, slow, doomed, store.DeleteOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(deleted).To(Equal(1), "b")
		Expect(rev).To(Equal(revision(ctx, s)))
		Expect(remaining(ctx, s)).To(Equal([]string{"default/a", "default/d", "default/e"}))
	})

	It("completes while others write", func(ctx SpecContext) {
		s := newStore()
		fill(ctx, s, 40, labelled("doomed", "yes"))
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				defer GinkgoRecover()
				for i := w; ; i = (i + 1) % 40 {
					_, _, err := store.Mutate(ctx, s, store.Key{Namespace: "default", Name: fmt.Sprintf("s%04d", i)}, func(x *Site) error {
						x.Spec.Replicas++
						return nil
					})
					if err != nil {
						Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
						return
					}
				}
			})
		}
		deleted, _, err := store.DeleteCollection[*Site](ctx, s, doomed, store.DeleteOptions{})
		writers.Wait()
		Expect(err).NotTo(HaveOccurred())
		Expect(deleted).To(Equal(40))
		Expect(remaining(ctx, s)).To(BeEmpty())
	})

	It("carries the fences", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		fenced := s.WithFences(store.Fence{Key: s.Prefix() + "leader", CreateRevision: 1})
		_, _, err := store.DeleteCollection[*Site](ctx, fenced, store.ListOptions{}, store.DeleteOptions{})
		Expect(err).To(MatchError(store.IsFenced, "fenced"))
		Expect(remaining(ctx, s)).To(HaveLen(1))
	})

	DescribeTable("refuses options that make no sense", func(ctx SpecContext, o store.ListOptions, d store.DeleteOptions) {
		s := newStore()
		created(ctx, s, "a")
		_, _, err := store.DeleteCollection[*Site](ctx, s, o, d)
		Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
		Expect(remaining(ctx, s)).To(HaveLen(1))
	},
		Entry("a limit", store.ListOptions{Limit: 1}, store.DeleteOptions{}),
		Entry("a revision", store.ListOptions{Revision: 1}, store.DeleteOptions{}),
		Entry("an invalid namespace", store.ListOptions{Namespace: ".."}, store.DeleteOptions{}),
		Entry("a resourceVersion", store.ListOptions{}, store.DeleteOptions{ResourceVersion: "1"}),
		Entry("an unknown propagation", store.ListOptions{}, store.DeleteOptions{Propagation: "Sideways"}),
	)
})
