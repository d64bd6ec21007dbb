package store_test

import (
	"encoding/base64"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/homeostat/homeostat/pkg/store"
)

// fill creates sites, named in order.
func fill(ctx SpecContext, s *store.Store, n int, change ...func(*Site)) {
	GinkgoHelper()
	for i := 0; i < n; {
		t := s.Txn()
		for ; i < n && t.Len() < 100; i++ {
			site := newSite(fmt.Sprintf("s%04d", i))
			for _, f := range change {
				f(site)
			}
			t.Create(site)
		}
		Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
	}
}

// cannotStream makes the server look like one without streaming range reads.
func cannotStream(method string) error {
	if method == "RangeStream" {
		return status.Error(codes.Unimplemented, "unknown method RangeStream")
	}
	return nil
}

func byImage(o *store.Options) {
	k := siteKind()
	k.Fields = func(s *Site) fields.Set { return fields.Set{"spec.image": s.Spec.Image} }
	o.Kinds = []store.AnyKind{k, regionKind()}
}

var _ = Describe("List in pages", func() {
	list := func(ctx SpecContext, s *store.Store, o store.ListOptions) store.ListResult[*Site] {
		GinkgoHelper()
		return must(store.List[*Site](ctx, s, o))
	}
	// pages follows the tokens to the end.
	pages := func(ctx SpecContext, s *store.Store, o store.ListOptions, between func()) (results []store.ListResult[*Site]) {
		GinkgoHelper()
		for {
			r := list(ctx, s, o)
			results = append(results, r)
			if o.Continue = r.Continue; o.Continue == "" {
				return results
			}
			between()
		}
	}

	It("shows all pages at one revision, with the number of remaining objects", func(ctx SpecContext) {
		s := newStore()
		fill(ctx, s, 5)
		then := revision(ctx, s)
		got := pages(ctx, s, store.ListOptions{Limit: 2}, func() {
			created(ctx, s, fmt.Sprint("s0004-", revision(ctx, s)))
			Expect(s.Delete(ctx, newSite("s0004"), store.DeleteOptions{})).Error().To(Or(BeNil(), MatchError(apierrors.IsNotFound, "NotFound")))
		})
		Expect(got).To(HaveLen(3))
		var all []string
		for i, r := range got {
			Expect(r.Revision).To(Equal(then))
			all = append(all, names(r.Items)...)
			Expect(r.Remaining).To(Equal([]*int64{ptr.To[int64](3), ptr.To[int64](1), nil}[i]))
		}
		Expect(all).To(Equal(names(list(ctx, s, store.ListOptions{Revision: then}).Items)))
	})

	It("has no token if the last page is full, or if there are no objects", func(ctx SpecContext) {
		s := newStore()
		empty := list(ctx, s, store.ListOptions{Limit: 4})
		Expect(empty.Items).To(And(BeEmpty(), Not(BeNil())))
		Expect(empty.Continue).To(BeEmpty())
		fill(ctx, s, 4)
		full := list(ctx, s, store.ListOptions{Limit: 4})
		Expect(full.Items).To(HaveLen(4))
		Expect(full.Continue).To(BeEmpty())
		Expect(full.Remaining).To(BeNil())
	})

	It("reads the rest at once without a limit", func(ctx SpecContext) {
		s := newStore()
		fill(ctx, s, 5)
		first := list(ctx, s, store.ListOptions{Limit: 2})
		rest := list(ctx, s, store.ListOptions{Continue: first.Continue})
		Expect(names(rest.Items)).To(Equal([]string{"default/s0002", "default/s0003", "default/s0004"}))
		Expect(rest.Revision).To(Equal(first.Revision))
	})

	It("reverses the order", func(ctx SpecContext) {
		s := newStore()
		fill(ctx, s, 5)
		want := []string{"default/s0004", "default/s0003", "default/s0002", "default/s0001", "default/s0000"}
		Expect(names(list(ctx, s, store.ListOptions{Descending: true}).Items)).To(Equal(want))
		var all []string
		for _, r := range pages(ctx, s, store.ListOptions{Descending: true, Limit: 2}, func() {}) {
			all = append(all, names(r.Items)...)
		}
		Expect(all).To(Equal(want))
		first := list(ctx, s, store.ListOptions{Descending: true, Limit: 2})
		Expect(first.Remaining).To(Equal(ptr.To[int64](3)))
		Expect(names(list(ctx, s, store.ListOptions{Descending: true, Continue: first.Continue}).Items)).To(Equal(want[2:]))
		_, err := store.List[*Site](ctx, s, store.ListOptions{Continue: first.Continue})
		Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
	})

	It("fills pages when selectors drop most objects, with growing reads", func(ctx SpecContext) {
		s := newStore()
		fill(ctx, s, 100)
		created(ctx, s, "x1", labelled("rare", "yes"))
		created(ctx, s, "x2", labelled("rare", "yes"))
		w := &wire{}
		tapped := newStoreOn(newClient(w.tap), sharing(s))
		o := store.ListOptions{Limit: 1, Selector: labels.SelectorFromSet(labels.Set{"rare": "yes"})}
		var first store.ListResult[*Site]
		reads := w.during(func() { first = list(ctx, tapped, o) })
		Expect(names(first.Items)).To(Equal([]string{"default/x1"}))
		Expect(first.Remaining).To(BeNil(), "nobody has counted")
		Expect(reads).To(HaveLen(7), "1 + 2 + 4 + ... + 64 reach the 101st")
		o.Continue = first.Continue
		second := list(ctx, tapped, o)
		Expect(names(second.Items)).To(Equal([]string{"default/x2"}))
		Expect(second.Continue).To(BeEmpty())
	})

	It("continues after undecodable values", func(ctx SpecContext) {
		s := newStore()
		fill(ctx, s, 3)
		put(ctx, siteKey(s, "s0001"), "garbage")
		put(ctx, siteKey(s, "\xff"), "no UTF-8")
		got, err := store.List[*Site](ctx, s, store.ListOptions{Limit: 2})
		var undecodable *store.UndecodableError
		Expect(asError(err, &undecodable)).To(BeTrue())
		Expect(names(got.Items)).To(Equal([]string{"default/s0000", "default/s0002"}))
		got, err = store.List[*Site](ctx, s, store.ListOptions{Limit: 2, Continue: got.Continue})
		Expect(asError(err, &undecodable)).To(BeTrue())
		Expect(got.Items).To(BeEmpty())
		Expect(got.Continue).To(BeEmpty())
	})

	It("reports an expired token", func(ctx SpecContext) {
		s := newStore()
		fill(ctx, s, 3)
		first := list(ctx, s, store.ListOptions{Limit: 1})
		created(ctx, s, "later")
		compact(ctx, revision(ctx, s))
		for _, limit := range []int64{0, 1} {
			_, err := store.List[*Site](ctx, s, store.ListOptions{Limit: limit, Continue: first.Continue})
			Expect(err).To(MatchError(apierrors.IsResourceExpired, "ResourceExpired"))
			Expect(err).To(MatchError(ContainSubstring("the continue token has expired")))
		}
	})

	DescribeTable("reports a revision that etcd has not reached", func(ctx SpecContext, o store.ListOptions) {
		s := newStore()
		o.Revision = revision(ctx, s) + 1000
		_, err := store.List[*Site](ctx, s, o)
		Expect(err).To(MatchError(ContainSubstring("too large resource version")))
		Expect(apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)).To(BeTrue())
		Expect(apierrors.IsTimeout(err)).To(BeTrue())
	},
		Entry("without a limit", store.ListOptions{}),
		Entry("with one", store.ListOptions{Limit: 1}),
	)

	Describe("with a token of another origin", func() {
		token := func(plain string) store.ListOptions {
			return store.ListOptions{Namespace: "default", Continue: base64.RawURLEncoding.EncodeToString([]byte(plain))}
		}
		DescribeTable("refuses it", func(ctx SpecContext, o store.ListOptions) {
			_, err := store.List[*Site](ctx, newStore(), o)
			Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
		},
			Entry("garbage", store.ListOptions{Continue: "?"}),
			Entry("no JSON", token("x")),
			Entry("another version", token(`{"v":2,"resource":"sites.example.com","namespace":"default","rv":5,"last":"YQ"}`)),
			Entry("no key", token(`{"v":1,"resource":"sites.example.com","namespace":"default","rv":5}`)),
			Entry("no revision", token(`{"v":1,"resource":"sites.example.com","namespace":"default","last":"YQ=="}`)),
			Entry("another kind", token(`{"v":1,"resource":"regions.example.com","namespace":"default","rv":5,"last":"YQ=="}`)),
			Entry("another namespace", token(`{"v":1,"resource":"sites.example.com","namespace":"other","rv":5,"last":"YQ=="}`)),
		)

		It("refuses a token of another list", func(ctx SpecContext) {
			s := newStore()
			fill(ctx, s, 2)
			first := list(ctx, s, store.ListOptions{Limit: 1})
			for _, o := range []store.ListOptions{
				{Continue: first.Continue, Namespace: "default"},
				{Continue: first.Continue, Revision: first.Revision},
				{Continue: strings.ToUpper(first.Continue)},
				{Limit: -1},
				{Revision: -1},
			} {
				_, err := store.List[*Site](ctx, s, o)
				Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
			}
			_, err := store.List[*Region](ctx, s, store.ListOptions{Continue: first.Continue})
			Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
		})

		It("never leaves the namespace", func(ctx SpecContext) {
			s := newStore()
			created(ctx, s, "a")
			o := token(fmt.Sprintf(`{"v":1,"resource":"sites.example.com","namespace":"default","rv":%d,"last":%q}`,
				revision(ctx, s), base64.StdEncoding.EncodeToString([]byte("../../"))))
			Expect(names(list(ctx, s, o).Items)).To(Equal([]string{"default/a"}))
		})
	})
})

var _ = Describe("A field selector", func() {
	DescribeTable("selects", func(ctx SpecContext, selector string, want ...string) {
		s := newStore(byImage)
		created(ctx, s, "a", func(x *Site) { x.Spec.Image = "one" })
		created(ctx, s, "b", func(x *Site) { x.Spec.Image = "two" })
		Expect(s.Create(ctx, &Site{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "a"}})).Error().NotTo(HaveOccurred())
		f, err := fields.ParseSelector(selector)
		Expect(err).NotTo(HaveOccurred())
		Expect(names(must(store.List[*Site](ctx, s, store.ListOptions{Fields: f})).Items)).To(Equal(want))
		Expect(names(must(store.List[*Site](ctx, s, store.ListOptions{Fields: f, Limit: 10})).Items)).To(Equal(want))
	},
		Entry("all", "", "default/a", "default/b", "other/a"),
		Entry("a name", "metadata.name=a", "default/a", "other/a"),
		Entry("a namespace", "metadata.namespace!=default", "other/a"),
		Entry("the kind's own", "spec.image=two", "default/b"),
		Entry("both", "spec.image=,metadata.name=a", "other/a"),
	)

	It("refuses a field that the kind does not have", func(ctx SpecContext) {
		for _, s := range []*store.Store{newStore(), newStore(byImage)} {
			_, err := store.List[*Site](ctx, s, store.ListOptions{Fields: fields.OneTermEqualSelector("spec.zone", "a")})
			Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
		}
	})
})

var _ = Describe("Stream", func() {
	everything := func(ctx SpecContext, s *store.Store, o store.ListOptions) (rev int64, items []*Site, undecodable []string) {
		GinkgoHelper()
		stream := must(store.Stream[*Site](ctx, s, o))
		for site, err := range stream.All() {
			var u *store.UndecodableError
			if asError(err, &u) {
				undecodable = append(undecodable, u.Keys...)
				continue
			}
			Expect(err).NotTo(HaveOccurred())
			items = append(items, site)
		}
		return stream.Revision, items, undecodable
	}

	for _, server := range []struct {
		name   string
		refuse func(string) error
	}{{"streams", nil}, {"cannot stream", cannotStream}} {
		name, refuse := server.name, server.refuse
		It("yields what a list returns where the server "+name, func(ctx SpecContext) {
			w := &wire{stream: refuse}
			s := newStoreOn(newClient(w.tap))
			fill(ctx, s, 120, labelled("x", "y"))
			created(ctx, s, "other")
			put(ctx, siteKey(s, "s0007"), "garbage")
			o := store.ListOptions{Selector: labels.SelectorFromSet(labels.Set{"x": "y"})}
			rev, items, undecodable := everything(ctx, s, o)
			want, err := store.List[*Site](ctx, s, o)
			Expect(err).To(HaveOccurred())
			Expect(rev).To(Equal(want.Revision))
			Expect(items).To(Equal(want.Items))
			Expect(undecodable).To(Equal([]string{siteKey(s, "s0007")}))
		})

		It("can be broken off, and taken up again at its revision, where the server "+name, func(ctx SpecContext) {
			w := &wire{stream: refuse}
			s := newStoreOn(newClient(w.tap))
			fill(ctx, s, 300, func(x *Site) { x.Spec.Image = strings.Repeat("x", 10_000) }) // several chunks
			stream := must(store.Stream[*Site](ctx, s, store.ListOptions{}))
			for site, err := range stream.All() {
				Expect(err).NotTo(HaveOccurred())
				Expect(site.Name).To(Equal("s0000"))
				break // that no goroutine remains is verified after every spec
			}
			Expect(s.Delete(ctx, newSite("s0000"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
			n := 0
			for _, err := range stream.All() {
				Expect(err).NotTo(HaveOccurred())
				n++
			}
			Expect(n).To(Equal(300))
		})

		It("ends with an error when its revision is compacted, where the server "+name, func(ctx SpecContext) {
			w := &wire{stream: refuse}
			s := newStoreOn(newClient(w.tap))
			fill(ctx, s, 3)
			stream := must(store.Stream[*Site](ctx, s, store.ListOptions{}))
			created(ctx, s, "later")
			compact(ctx, revision(ctx, s))
			var errs []error
			for _, err := range stream.All() {
				errs = append(errs, err)
			}
			Expect(errs).To(ConsistOf(MatchError(apierrors.IsResourceExpired, "ResourceExpired")))
		})
	}

	It("shows a revision of the past", func(ctx SpecContext) {
		s := newStore()
		fill(ctx, s, 2)
		then := revision(ctx, s)
		created(ctx, s, "later")
		rev, items, _ := everything(ctx, s, store.ListOptions{Revision: then})
		Expect(rev).To(Equal(then))
		Expect(items).To(HaveLen(2))
	})

	It("has no pages", func(ctx SpecContext) {
		for _, o := range []store.ListOptions{{Limit: 1}, {Continue: "x"}, {Descending: true}, {Namespace: ".."}} {
			_, err := store.Stream[*Site](ctx, newStore(), o)
			Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
		}
	})
})
