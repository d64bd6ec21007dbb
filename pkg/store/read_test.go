package store_test

import (
	"errors"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/store"
)

func asError[T error](err error, target *T) bool { return errors.As(err, target) }

func names(items []*Site) (names []string) {
	for _, s := range items {
		names = append(names, s.Namespace+"/"+s.Name)
	}
	return names
}

var _ = Describe("Get", func() {
	It("says when there is no such object", func(ctx SpecContext) {
		s := newStore()
		_, err := store.Get[*Site](ctx, s, store.Key{Namespace: "default", Name: "a"})
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
		Expect(err).To(MatchError(ContainSubstring(siteKey(s, "a"))))
	})

	DescribeTable("refuses an invalid name", func(ctx SpecContext, key store.Key) {
		_, err := store.Get[*Site](ctx, newStore(), key)
		Expect(err).To(MatchError(apierrors.IsBadRequest, "BadRequest"))
	},
		Entry("empty", store.Key{Namespace: "default"}),
		Entry("..", store.Key{Namespace: "default", Name: ".."}),
		Entry("slash", store.Key{Namespace: "default", Name: "a/b"}),
		Entry("no namespace", store.Key{Name: "a"}),
	)

	DescribeTable("reports a value that the store would not have written", func(ctx SpecContext, value string) {
		s := newStore()
		put(ctx, siteKey(s, "a"), value)
		_, err := store.Get[*Site](ctx, s, store.Key{Namespace: "default", Name: "a"})
		var undecodable *store.UndecodableError
		Expect(asError(err, &undecodable)).To(BeTrue(), fmt.Sprint(err))
		Expect(undecodable.Keys).To(ConsistOf(siteKey(s, "a")))
	},
		Entry("nothing", ""),
		Entry("no JSON", "garbage"),
		Entry("null", "null"),
		Entry("another kind", `{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"default","name":"a"}}`),
		Entry("another version", `{"apiVersion":"example.com/v2","kind":"Site","metadata":{"namespace":"default","name":"a"}}`),
		Entry("another name", `{"apiVersion":"example.com/v1","kind":"Site","metadata":{"namespace":"default","name":"b"}}`),
		Entry("another namespace", `{"apiVersion":"example.com/v1","kind":"Site","metadata":{"namespace":"other","name":"a"}}`),
		Entry("a wrong type", `{"apiVersion":"example.com/v1","kind":"Site","metadata":{"namespace":"default","name":"a"},"spec":{"replicas":"x"}}`),
		Entry("trailing bytes", `{"apiVersion":"example.com/v1","kind":"Site","metadata":{"namespace":"default","name":"a"}}x`),
	)
})

var _ = Describe("List", func() {
	list := func(ctx SpecContext, s *store.Store, o store.ListOptions) store.ListResult[*Site] {
		GinkgoHelper()
		return must(store.List[*Site](ctx, s, o))
	}

	It("returns all objects of the kind, in order, at etcd's revision", func(ctx SpecContext) {
		s := newStore()
		for _, name := range []string{"b", "a", "c"} {
			created(ctx, s, name)
		}
		Expect(s.Create(ctx, &Site{ObjectMeta: metav1.ObjectMeta{Namespace: "another", Name: "z"}})).Error().NotTo(HaveOccurred())
		Expect(s.Create(ctx, &Region{ObjectMeta: metav1.ObjectMeta{Name: "north"}})).Error().NotTo(HaveOccurred())
		got := list(ctx, s, store.ListOptions{})
		Expect(names(got.Items)).To(Equal([]string{"another/z", "default/a", "default/b", "default/c"}))
		Expect(got.Revision).To(Equal(revision(ctx, s)))
		Expect(got.Items[1]).To(Equal(get(ctx, s, "a")))
	})

	It("returns items that are empty, not nil", func(ctx SpecContext) {
		Expect(list(ctx, newStore(), store.ListOptions{}).Items).To(And(BeEmpty(), Not(BeNil())))
	})

	It("lists only one namespace, and not one whose name begins alike", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		Expect(s.Create(ctx, &Site{ObjectMeta: metav1.ObjectMeta{Namespace: "default-2", Name: "b"}})).Error().NotTo(HaveOccurred())
		Expect(names(list(ctx, s, store.ListOptions{Namespace: "default"}).Items)).To(Equal([]string{"default/a"}))
	})

	It("refuses an invalid namespace", func(ctx SpecContext) {
		_, err := store.List[*Site](ctx, newStore(), store.ListOptions{Namespace: ".."})
		Expect(err).To(HaveOccurred())
		_, err = store.List[*Region](ctx, newStore(), store.ListOptions{Namespace: "default"})
		Expect(err).To(MatchError(ContainSubstring("cluster-scoped")))
	})

	It("lists only objects that match a selector", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a", labelled("x", "1"))
		created(ctx, s, "b", labelled("x", "2"))
		got := list(ctx, s, store.ListOptions{Selector: labels.SelectorFromSet(labels.Set{"x": "2"})})
		Expect(names(got.Items)).To(Equal([]string{"default/b"}))
	})

	It("lists at an older revision", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		then := revision(ctx, s)
		created(ctx, s, "b")
		Expect(s.Delete(ctx, newSite("a"), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		got := list(ctx, s, store.ListOptions{Revision: then})
		Expect(names(got.Items)).To(Equal([]string{"default/a"}))
		Expect(got.Revision).To(Equal(then))
	})

	It("reports a compacted revision", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a")
		then := revision(ctx, s)
		created(ctx, s, "b")
		compact(ctx, then+1)
		_, err := store.List[*Site](ctx, s, store.ListOptions{Revision: then})
		Expect(err).To(MatchError(apierrors.IsResourceExpired, "ResourceExpired"))
		Expect(errors.Is(err, rpctypes.ErrCompacted)).To(BeTrue())
	})

	It("reports a revision that etcd has not reached, and an invalid one", func(ctx SpecContext) {
		s := newStore()
		_, err := store.List[*Site](ctx, s, store.ListOptions{Revision: revision(ctx, s) + 1000})
		Expect(err).To(MatchError(ContainSubstring("too large resource version")))
		_, err = store.List[*Site](ctx, s, store.ListOptions{Revision: -1})
		Expect(err).To(MatchError(ContainSubstring("negative")))
	})

	It("reports all undecodable values together, with the other objects", func(ctx SpecContext) {
		s := newStore()
		for _, name := range []string{"a", "b", "c"} {
			created(ctx, s, name)
		}
		put(ctx, siteKey(s, "a"), "garbage")
		put(ctx, siteKey(s, "c"), "{}")
		put(ctx, siteKey(s, "d/e"), "too deep")
		got, err := store.List[*Site](ctx, s, store.ListOptions{})
		var undecodable *store.UndecodableError
		Expect(asError(err, &undecodable)).To(BeTrue())
		Expect(undecodable.Keys).To(Equal([]string{siteKey(s, "a"), siteKey(s, "c"), siteKey(s, "d/e")}))
		Expect(undecodable.Reasons).To(HaveLen(3))
		Expect(names(got.Items)).To(Equal([]string{"default/b"}))
		Expect(got.Revision).To(Equal(revision(ctx, s)))
	})

	It("returns objects that the caller may change", func(ctx SpecContext) {
		s := newStore()
		created(ctx, s, "a", labelled("x", "1"))
		list(ctx, s, store.ListOptions{}).Items[0].Labels["x"] = "2"
		Expect(list(ctx, s, store.ListOptions{}).Items[0].Labels).To(HaveKeyWithValue("x", "1"))
	})
})

var _ = Describe("A store", func() {
	It("returns etcd's revision", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a")
		Expect(store.FormatRevision(revision(ctx, s))).To(Equal(site.ResourceVersion))
	})

	It("encodes values for others", func(ctx SpecContext) {
		s := newStore(func(o *store.Options) {
			o.EncryptionKeys = []store.EncryptionKey{{Name: "k", Secret: []byte("0123456789abcdef")}}
		})
		site := created(ctx, s, "a")
		encode, err := s.Encoder(&Site{})
		Expect(err).NotTo(HaveOccurred())
		_, decode, err := s.Decoder(&Site{}, store.DecodeOptions{})
		Expect(err).NotTo(HaveOccurred())
		before := site.DeepCopyObject()
		value, err := encode(site)
		Expect(err).NotTo(HaveOccurred())
		Expect(site).To(Equal(before), "it is not changed")
		Expect(string(value)).To(HavePrefix("k8s:enc:aesgcm:"))
		rev, err := store.ParseRevision(site.ResourceVersion)
		Expect(err).NotTo(HaveOccurred())
		decoded, err := decode(siteKey(s, "a"), value, rev)
		obj := decoded.Object
		Expect(err).NotTo(HaveOccurred())
		Expect(obj).To(Equal(before))
		_, err = decode(siteKey(s, "b"), value, rev)
		Expect(err).To(HaveOccurred(), "it is another key's")
	})

	DescribeTable("decodes values for others", func(ctx SpecContext, rest string, ok bool) {
		s := newStore()
		created(ctx, s, "a")
		prefix, decode, err := s.Decoder(&Site{}, store.DecodeOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(prefix).To(Equal(s.Prefix() + "example.com/sites/"))
		decoded, err := decode(prefix+rest, []byte(raw(ctx, siteKey(s, "a"))), 7)
		obj, key := decoded.Object, decoded.Key
		if !ok {
			Expect(err).To(HaveOccurred())
			return
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(key).To(Equal(store.Key{Namespace: "default", Name: "a"}))
		Expect(obj.GetResourceVersion()).To(Equal("7"))
	},
		Entry("its key", "default/a", true),
		Entry("another key", "default/b", false),
		Entry("too few parts", "a", false),
		Entry("too many parts", "default/a/b", false),
		Entry("no name", "default/", false),
		Entry("an invalid name", "default/..", false),
	)

	It("decodes no key of another prefix", func() {
		_, decode, err := newStore().Decoder(&Site{}, store.DecodeOptions{})
		Expect(err).NotTo(HaveOccurred())
		_, err = decode("/", nil, 1)
		Expect(err).To(HaveOccurred())
	})
})
