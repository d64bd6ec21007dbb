package store_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/store"
)

// A plain kind for each of several purposes.
type (
	plainSpec  struct{ A string }
	otherSpec  struct{ B string }
	plain      = store.Resource[plainSpec, struct{}]
	other      = store.Resource[otherSpec, struct{}]
	withChan   = store.Resource[struct{ C chan int }, struct{}]
	withFunc   = store.Resource[struct{}, struct{ F func() }]
	withAny    = store.Resource[struct{ M map[string]any }, struct{}]
	withHidden = store.Resource[struct{ p *int }, struct{}]
	withKeys   = store.Resource[struct{ M map[[1]*int]int }, struct{}]
)

// embedding inherits a DeepCopyObject that returns another type.
type embedding struct{ plain }

func gvk(group, kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind}
}

var _ = Describe("New", func() {
	kinds := func(kinds ...store.AnyKind) error {
		_, err := store.New(server.Client(), store.Options{Kinds: kinds})
		return err
	}
	things := gvk("example.com", "Thing")

	DescribeTable("refuses kinds", func(message string, given ...store.AnyKind) {
		Expect(kinds(given...)).To(MatchError(ContainSubstring(message)))
	},
		Entry("none", "no kinds"),
		Entry("without a name", "set GroupVersionKind", store.Kind[*plain]{}),
		Entry("without a version", "lacks a version", store.Kind[*plain]{GroupVersionKind: schema.GroupVersionKind{Group: "g", Kind: "K"}}),
		Entry("of an interface", "pointer to a struct", store.Kind[store.Object]{GroupVersionKind: things}),
		Entry("given twice", "given twice", store.Kind[*plain]{GroupVersionKind: things}, store.Kind[*other]{GroupVersionKind: things}),
		Entry("with one Go type", "a type of its own",
			store.Kind[*plain]{GroupVersionKind: things}, store.Kind[*plain]{GroupVersionKind: gvk("example.com", "Other")}),
		Entry("with the same keys", "both are stored as",
			store.Kind[*plain]{GroupVersionKind: things}, store.Kind[*other]{GroupVersionKind: gvk("example.com", "Other"), Resource: "things"}),
		Entry("with an upper-case resource", "lower case", store.Kind[*plain]{GroupVersionKind: things, Resource: "Things"}),
		Entry("with a resource that leaves its place", "lower case", store.Kind[*plain]{GroupVersionKind: things, Resource: ".."}),
		Entry("with a resource of two parts", "lower case", store.Kind[*plain]{GroupVersionKind: things, Resource: "a/b"}),
		Entry("in a group of two parts", "part of a path", store.Kind[*plain]{GroupVersionKind: gvk("a/b", "Thing")}),
		Entry("in a group that stands for the empty one", "empty group", store.Kind[*plain]{GroupVersionKind: gvk("core", "Thing")}),
		Entry("with a channel", "C: chan int cannot be copied", store.Kind[*withChan]{GroupVersionKind: things}),
		Entry("with a function", "F: func() cannot be copied", store.Kind[*withFunc]{GroupVersionKind: things}),
		Entry("with an interface", "interface {} cannot be copied", store.Kind[*withAny]{GroupVersionKind: things}),
		Entry("with an unexported pointer", "unexported field", store.Kind[*withHidden]{GroupVersionKind: things}),
		Entry("with references in the keys of a map", "its keys hold references", store.Kind[*withKeys]{GroupVersionKind: things}),
		Entry("with a DeepCopyObject of another type", "give the type a method of its own", store.Kind[*embedding]{GroupVersionKind: things}),
	)

	It("fills in the defaults of a kind, as a write would", func(ctx SpecContext) {
		s := newStore()
		site := newSite("a")
		Expect(s.Default(site)).To(Succeed())
		Expect(site.Spec).To(Equal(created(ctx, s, "a").Spec))
		Expect(site.Spec.Zone).To(Equal("a"))
		Expect(s.Default(&corev1.ConfigMap{})).To(Succeed(), "it has none")
		Expect(s.Default(&store.Resource[int, int]{})).To(MatchError(ContainSubstring("not known")))
	})

	It("refuses a scheme that knows one Go type by two names", func() {
		s := runtime.NewScheme()
		for _, version := range []string{"v1", "v2"} {
			s.AddKnownTypeWithName(schema.GroupVersionKind{Group: "example.com", Version: version, Kind: "Thing"}, &plain{})
		}
		_, err := store.New(server.Client(), store.Options{Scheme: s})
		Expect(err).To(MatchError(ContainSubstring("say in Kinds which is meant")))
		st, err := store.New(server.Client(), store.Options{Scheme: s, Kinds: []store.AnyKind{store.Kind[*plain]{GroupVersionKind: things}}})
		Expect(err).NotTo(HaveOccurred())
		Expect(must(store.KindOf[*plain](st)).GroupVersionKind).To(Equal(things))
	})

	It("refuses a prefix without a slash, and a missing client", func() {
		_, err := store.New(server.Client(), store.Options{Prefix: "x", Kinds: []store.AnyKind{siteKind()}})
		Expect(err).To(MatchError(ContainSubstring("slash")))
		_, err = store.New(nil, store.Options{Kinds: []store.AnyKind{siteKind()}})
		Expect(err).To(MatchError(ContainSubstring("client is nil")))
	})

	It("takes all of Kubernetes' own kinds, with Kubernetes' own keys", func() {
		s, err := store.New(server.Client(), store.Options{Scheme: scheme.Scheme})
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Prefix()).To(Equal(store.DefaultPrefix))
		Expect(must(store.KindOf[*corev1.Pod](s))).To(Equal(store.KindInfo{
			GroupVersionKind: gvk("", "Pod"), Resource: schema.GroupResource{Resource: "pods"}}))
		Expect(must(store.KindOf[*corev1.Node](s)).ClusterScoped).To(BeTrue())
		endpoints, known := s.LookupKind(gvk("", "Endpoints"))
		Expect(known).To(BeTrue())
		Expect(endpoints.Resource.Resource).To(Equal("endpoints"))
		Expect(must(store.KindOf[*certificatesv1beta1.PodCertificateRequest](s)).ClusterScoped).To(BeFalse())
		Expect(must(store.KindOf[*certificatesv1beta1.ClusterTrustBundle](s)).ClusterScoped).To(BeTrue())
	})
})

var _ = Describe("A store's kinds", func() {
	It("are known by type, by object and by name", func() {
		s := newStore()
		want := store.KindInfo{
			GroupVersionKind: gvk("example.com", "Region"),
			Resource:         schema.GroupResource{Group: "example.com", Resource: "regions"},
			ClusterScoped:    true,
		}
		Expect(must(store.KindOf[*Region](s))).To(Equal(want))
		Expect(must(s.KindOf(&Region{}))).To(Equal(want))
		info, ok := s.LookupKind(want.GroupVersionKind)
		Expect(ok).To(BeTrue())
		Expect(info).To(Equal(want))
		obj, ok := s.NewObject(want.GroupVersionKind)
		Expect(ok).To(BeTrue())
		Expect(obj).To(Equal(&Region{}))
	})

	It("are only the given ones", func() {
		s := newStore()
		_, err := store.KindOf[*plain](s)
		Expect(err).To(HaveOccurred())
		_, err = store.KindOf[store.Object](s)
		Expect(err).To(HaveOccurred())
		_, err = s.KindOf(nil)
		Expect(err).To(HaveOccurred())
		_, ok := s.LookupKind(gvk("", "Nothing"))
		Expect(ok).To(BeFalse())
		_, ok = s.NewObject(gvk("", "Nothing"))
		Expect(ok).To(BeFalse())
	})

	It("are found in an object's owner reference", func(ctx SpecContext) {
		s := newStore()
		owner := newSite("a")
		_, err := s.OwnerReference(owner)
		Expect(err).To(MatchError(ContainSubstring("no uid yet")))
		owner = created(ctx, s, "a")
		ref := must(s.OwnerReference(owner))
		Expect(ref).To(Equal(*metav1.NewControllerRef(owner, gvk("example.com", "Site"))))
	})

	It("can be read with an object of their type", func(ctx SpecContext) {
		s := newStore()
		site := created(ctx, s, "a")
		Expect(must(s.GetObject(ctx, newSite("a")))).To(Equal(site))
		_, err := s.GetObject(ctx, &plain{})
		Expect(err).To(HaveOccurred())
	})
})

var _ = DescribeTable("ParseRevision", func(text string, want int64, ok bool) {
	got, err := store.ParseRevision(text)
	Expect(err == nil).To(Equal(ok))
	Expect(got).To(Equal(want))
},
	Entry("empty", "", int64(0), true),
	Entry("zero", "0", int64(0), true),
	Entry("a revision", store.FormatRevision(42), int64(42), true),
	Entry("negative", "-1", int64(0), false),
	Entry("no number", "x", int64(0), false),
	Entry("too large", "99999999999999999999", int64(0), false),
)
