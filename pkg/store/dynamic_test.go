package store_test

import (
	"errors"
	"iter"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A kind that is known by its name alone", func() {
	var (
		s     *store.Store
		sites store.DynamicKind
		gvk   = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"}
	)

	BeforeEach(func() {
		s = newStore()
		var err error
		sites, err = s.Dynamic(gvk)
		Expect(err).NotTo(HaveOccurred())
	})

	It("is read, listed, watched, counted and deleted by the same rules", func(ctx SpecContext) {
		a := created(ctx, s, "a")
		b := created(ctx, s, "b", func(s *Site) { s.Labels = map[string]string{"protected": "true"} })

		Expect(sites.Get(ctx, store.KeyOf(a))).To(Equal(a))
		Expect(sites.Get(ctx, store.Key{Namespace: "default", Name: "none"})).Error().To(MatchError(apierrors.IsNotFound, "NotFound"))
		list, err := sites.List(ctx, store.ListOptions{Limit: 1})
		Expect(err).NotTo(HaveOccurred())
		Expect(list.Items).To(Equal([]store.Object{a}))
		rest, err := sites.List(ctx, store.ListOptions{Continue: list.Continue})
		Expect(err).NotTo(HaveOccurred())
		Expect(rest.Items).To(Equal([]store.Object{b}))
		Expect(sites.Count(ctx, "default")).To(BeEquivalentTo(2))
		Expect(sites.Count(ctx, "elsewhere")).To(BeZero())
		stream, err := sites.Stream(ctx, store.ListOptions{})
		Expect(err).NotTo(HaveOccurred())
		var names []string
		for obj, err := range stream.All() {
			Expect(err).NotTo(HaveOccurred())
			names = append(names, obj.GetName())
		}
		Expect(names).To(Equal([]string{"a", "b"}))

		next, stop := iter.Pull2(sites.Watch(ctx, store.WatchOptions{From: rest.Revision + 1}))
		defer stop()
		Expect(sites.Delete(ctx, store.KeyOf(b), store.DeleteOptions{})).Error().To(MatchError(apierrors.IsInvalid, "Invalid"))
		deleted, err := sites.Delete(ctx, store.KeyOf(a), store.DeleteOptions{ResourceVersion: a.ResourceVersion})
		Expect(err).NotTo(HaveOccurred())
		event, err, _ := next()
		Expect(err).NotTo(HaveOccurred())
		Expect(event.Type).To(Equal(store.Deleted))
		Expect(event.Revision).To(Equal(deleted))
		Expect(event.Object.GetName()).To(Equal("a"))
	})

	It("is found by its resource and in the list of all kinds", func() {
		info, ok := s.LookupResource(schema.GroupResource{Group: "example.com", Resource: "sites"})
		Expect(ok).To(BeTrue())
		Expect(info).To(Equal(sites.Info()))
		_, ok = s.LookupResource(schema.GroupResource{Resource: "sites"})
		Expect(ok).To(BeFalse())
		Expect(s.Kinds()).To(ContainElement(info))
		Expect(s.Dynamic(gvk.GroupKind().WithVersion("v9"))).Error().To(MatchError(ContainSubstring("is not known to this store")))
	})

	It("names what is wrong with a namespace or a revision", func(ctx SpecContext) {
		Expect(sites.Count(ctx, "a/b")).Error().To(MatchError(apierrors.IsBadRequest, "BadRequest"))
		for _, err := range sites.Watch(ctx, store.WatchOptions{}) {
			Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
			Expect(err).To(MatchError(ContainSubstring("pass the revision of a list plus one")))
		}
	})
})

var _ = Describe("A value that does not decode", func() {
	const text = `{"apiVersion":"example.com/v1","kind":"Site","metadata":{"namespace":"default","name":"broken","finalizers":["f/f"]},"spec":7}`

	It("is deleted only by its revision", func(ctx SpecContext) {
		s := newStore()
		key := s.Prefix() + "example.com/sites/default/broken"
		at := put(ctx, key, text)
		site := newSite("broken")
		_, err := s.Delete(ctx, site, store.DeleteOptions{})
		var undecodable *store.UndecodableError
		Expect(errors.As(err, &undecodable)).To(BeTrue())
		Expect(undecodable.Revisions).To(Equal([]int64{at}))
		Expect(err.Error()).To(ContainSubstring("at revision " + store.FormatRevision(at)))

		old := store.DeleteOptions{ResourceVersion: store.FormatRevision(at - 1)}
		_, err = s.Delete(ctx, site, old)
		Expect(errors.As(err, &undecodable)).To(BeTrue())
		ofUID := newSite("broken")
		ofUID.UID = "some"
		current := store.DeleteOptions{ResourceVersion: store.FormatRevision(at)}
		Expect(s.Delete(ctx, ofUID, current)).Error().To(HaveOccurred())
		Expect(raw(ctx, key)).To(Equal(text))

		Expect(s.Delete(ctx, site, current)).To(Equal(at + 1))
		Expect(site.ResourceVersion).To(BeEmpty())
		created(ctx, s, "broken")
	})

	It("is counted, listed with its revision, and gone in a transaction with others", func(ctx SpecContext) {
		s := newStore()
		at := put(ctx, s.Prefix()+"example.com/sites/default/broken", strings.Replace(text, `"spec":7`, `"spec":[]`, 1))
		good := created(ctx, s, "good")
		sites, err := s.Dynamic(schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"})
		Expect(err).NotTo(HaveOccurred())
		Expect(sites.Count(ctx, "")).To(BeEquivalentTo(2))
		list, err := sites.List(ctx, store.ListOptions{})
		var undecodable *store.UndecodableError
		Expect(errors.As(err, &undecodable)).To(BeTrue())
		Expect(undecodable.Revisions).To(Equal([]int64{at}))
		Expect(list.Items).To(HaveLen(1))

		t := s.Txn()
		t.Delete(newSite("broken"), store.DeleteOptions{ResourceVersion: store.FormatRevision(at)})
		t.Delete(good, store.DeleteOptions{})
		Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
		Expect(sites.Count(ctx, "")).To(BeZero())
	})
})
