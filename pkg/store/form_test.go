package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/store"
)

func protobuf(o *store.Options) { o.Codec = store.Protobuf }

func keys(names ...string) func(*store.Options) {
	return func(o *store.Options) {
		for _, name := range names {
			o.EncryptionKeys = append(o.EncryptionKeys, store.EncryptionKey{Name: name, Secret: bytes.Repeat([]byte(name[:1]), 32)})
		}
	}
}

func configMapKey(s *store.Store, name string) string {
	return s.Prefix() + "core/configmaps/default/" + name
}

func newConfigMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: map[string]string{"a": "1"}}
}

var _ = Describe("The form of a stored value", func() {
	It("is protobuf if the store asks for it and the type has it, and else JSON; every store reads both", func(ctx SpecContext) {
		asJSON := newStore()
		asProto := newStore(sharing(asJSON), protobuf)
		_, err := asProto.Create(ctx, newConfigMap("p"))
		Expect(err).NotTo(HaveOccurred())
		_, err = asJSON.Create(ctx, newConfigMap("j"))
		Expect(err).NotTo(HaveOccurred())
		created(ctx, asProto, "site")
		Expect(raw(ctx, configMapKey(asJSON, "p"))).To(HavePrefix("k8s\x00"))
		Expect(raw(ctx, configMapKey(asJSON, "j"))).To(HavePrefix("{"))
		Expect(raw(ctx, siteKey(asJSON, "site"))).To(HavePrefix("{"))
		for _, s := range []*store.Store{asJSON, asProto} {
			list, err := store.List[*corev1.ConfigMap](ctx, s, store.ListOptions{})
			Expect(err).NotTo(HaveOccurred())
			Expect(list.Items).To(HaveLen(2))
			Expect(list.Items).To(HaveEach(HaveField("Data", HaveKeyWithValue("a", "1"))))
		}
	})

	It("is changed by Rewrite, which writes nothing twice", func(ctx SpecContext) {
		asJSON := newStore()
		for _, name := range []string{"a", "b"} {
			_, err := asJSON.Create(ctx, newConfigMap(name))
			Expect(err).NotTo(HaveOccurred())
		}
		asProto := newStore(sharing(asJSON), protobuf)
		Expect(store.Rewrite[*corev1.ConfigMap](ctx, asProto)).To(Equal(2))
		Expect(raw(ctx, configMapKey(asJSON, "a"))).To(HavePrefix("k8s\x00"))
		before := revision(ctx, asJSON)
		Expect(store.Rewrite[*corev1.ConfigMap](ctx, asProto)).To(Equal(0))
		Expect(revision(ctx, asJSON)).To(Equal(before))
	})

	It("costs no revision if an object does not change, whatever the form", func(ctx SpecContext) {
		for _, form := range []func(*store.Options){protobuf, keys("k")} {
			s := newStore(form)
			cm := newConfigMap("a")
			_, err := s.Create(ctx, cm)
			Expect(err).NotTo(HaveOccurred())
			before := revision(ctx, s)
			_, err = s.Update(ctx, cm)
			Expect(err).NotTo(HaveOccurred())
			Expect(revision(ctx, s)).To(Equal(before))
		}
	})

	It("must have no unknown and no duplicate fields if the store is strict", func(ctx SpecContext) {
		lax := newStore()
		strict := newStore(sharing(lax), func(o *store.Options) { o.Strict = true })
		created(ctx, strict, "good")
		for name, spec := range map[string]string{"unknown": `{"replcias":1}`, "twice": `{"replicas":1,"replicas":2}`} {
			put(ctx, siteKey(lax, name), fmt.Sprintf(`{"apiVersion":"example.com/v1","kind":"Site","metadata":{"name":%q,"namespace":"default"},"spec":%s}`, name, spec))
			get(ctx, lax, name)
			_, err := store.Get[*Site](ctx, strict, store.Key{Namespace: "default", Name: name})
			var undecodable *store.UndecodableError
			Expect(errors.As(err, &undecodable)).To(BeTrue())
			Expect(err).To(MatchError(ContainSubstring(`"spec.repl`)))
		}
		Expect(get(ctx, strict, "good").Name).To(Equal("good"))
	})

	It("is refused when it is unknown", func() {
		_, err := store.New(server.Client(), store.Options{Kinds: []store.AnyKind{siteKind()}, Codec: "xml"})
		Expect(err).To(MatchError(ContainSubstring(`codec "xml"`)))
	})
})

var _ = Describe("Encryption", func() {
	It("encrypts values, with the name of the key in each", func(ctx SpecContext) {
		s := newStore(keys("alpha"))
		created(ctx, s, "a", func(site *Site) { site.Spec.Image = "secret" })
		Expect(raw(ctx, siteKey(s, "a"))).To(HavePrefix("k8s:enc:aesgcm:v1:alpha:"))
		Expect(raw(ctx, siteKey(s, "a"))).NotTo(ContainSubstring("secret"))
		Expect(get(ctx, s, "a").Spec.Image).To(Equal("secret"))
	})

	It("reads with old keys, and rotates with Rewrite", func(ctx SpecContext) {
		plain := newStore()
		created(ctx, plain, "a")
		first := newStore(sharing(plain), keys("alpha"))
		created(ctx, first, "b")
		Expect(store.Rewrite[*Site](ctx, first)).To(Equal(1))
		second := newStore(sharing(plain), keys("beta", "alpha"))
		Expect(store.Rewrite[*Site](ctx, second)).To(Equal(2))
		only := newStore(sharing(plain), keys("beta"))
		list, err := store.List[*Site](ctx, only, store.ListOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(list.Items).To(HaveLen(2))
	})

	It("refuses a value that was changed, moved to another key, or encrypted with an unknown key", func(ctx SpecContext) {
		s := newStore(keys("alpha"))
		created(ctx, s, "a")
		value := raw(ctx, siteKey(s, "a"))
		put(ctx, siteKey(s, "moved"), value)
		put(ctx, siteKey(s, "changed"), value[:len(value)-1]+"x")
		put(ctx, siteKey(s, "cut"), "k8s:enc:aesgcm:v1:alpha:x")
		for _, name := range []string{"moved", "changed", "cut"} {
			_, err := store.Get[*Site](ctx, s, store.Key{Namespace: "default", Name: name})
			var undecodable *store.UndecodableError
			Expect(errors.As(err, &undecodable)).To(BeTrue(), "%s: %v", name, err)
		}
		_, err := store.Get[*Site](ctx, newStore(sharing(s)), store.Key{Namespace: "default", Name: "a"})
		Expect(err).To(MatchError(ContainSubstring(`encrypted with the key "alpha"`)))
	})

	It("refuses keys that cannot work", func() {
		for _, bad := range [][]store.EncryptionKey{
			{{Name: "", Secret: make([]byte, 32)}}, {{Name: "a:b", Secret: make([]byte, 32)}}, {{Name: "a", Secret: make([]byte, 5)}},
			{{Name: "a", Secret: make([]byte, 32)}, {Name: "a", Secret: make([]byte, 32)}},
		} {
			_, err := store.New(server.Client(), store.Options{Kinds: []store.AnyKind{siteKind()}, EncryptionKeys: bad})
			Expect(err).To(MatchError(ContainSubstring("encryption key")))
		}
	})
})

// OldSite is an earlier version of Site: an image with its tag apart.
type OldSite struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              OldSpec    `json:"spec,omitempty"`
	Status            SiteStatus `json:"status,omitempty"`
}

type OldSpec struct {
	Repository string `json:"repository,omitempty"`
	Tag        string `json:"tag,omitempty"`
	Replicas   string `json:"replicas,omitempty"` // of another JSON type than the new one
}

func (o *OldSite) DeepCopyObject() runtime.Object {
	c := *o
	o.ObjectMeta.DeepCopyInto(&c.ObjectMeta)
	return &c
}

func oldVersion() store.Version[*OldSite, *Site] {
	return store.Version[*OldSite, *Site]{
		GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1alpha1", Kind: "Site"},
		To: func(from *OldSite, to *Site) error {
			if _, err := fmt.Sscanf("0"+from.Spec.Replicas, "%d", &to.Spec.Replicas); err != nil {
				return fmt.Errorf("spec.replicas: %w", err)
			}
			to.Spec.Image = from.Spec.Repository + ":" + from.Spec.Tag
			to.Spec.Zone = "a"
			to.Status = from.Status
			return nil
		},
		From: func(from *Site, to *OldSite) error {
			to.Spec.Repository, to.Spec.Tag, _ = strings.Cut(from.Spec.Image, ":")
			to.Spec.Replicas = fmt.Sprint(from.Spec.Replicas)
			to.Status = from.Status
			return nil
		},
	}
}

func versions(o *store.Options) { o.Kinds = append(o.Kinds, oldVersion()) }

var _ = Describe("A further version of a kind", func() {
	key := store.Key{Namespace: "default", Name: "a"}

	newOld := func() *OldSite {
		return &OldSite{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"}, Spec: OldSpec{Repository: "nginx", Tag: "1", Replicas: "2"}}
	}

	It("is written and read like the kind itself, and stored as the kind", func(ctx SpecContext) {
		s := newStore(versions)
		old := newOld()
		rev, err := s.Create(ctx, old)
		Expect(err).NotTo(HaveOccurred())
		Expect(old.UID).NotTo(BeEmpty())
		Expect(old.ResourceVersion).To(Equal(store.FormatRevision(rev)))
		Expect(old.APIVersion).To(Equal("example.com/v1alpha1"))
		Expect(raw(ctx, siteKey(s, "a"))).To(ContainSubstring(`"apiVersion":"example.com/v1"`))

		site := get(ctx, s, "a")
		Expect(site.Spec.Image).To(Equal("nginx:1"))
		Expect(site.Spec.Replicas).To(Equal(int32(2)))
		read, err := store.Get[*OldSite](ctx, s, key)
		Expect(err).NotTo(HaveOccurred())
		Expect(read).To(Equal(old))

		old.Spec.Tag = "2"
		_, err = s.Update(ctx, old)
		Expect(err).NotTo(HaveOccurred())
		Expect(old.Generation).To(Equal(int64(2)))
		Expect(get(ctx, s, "a").Spec.Image).To(Equal("nginx:2"))
		_, err = s.Update(ctx, site)
		Expect(err).To(HaveOccurred(), "the other version is the same object")

		changed, _, err := store.Mutate(ctx, s, key, func(o *OldSite) error { o.Status.Ready = 7; return nil })
		Expect(err).NotTo(HaveOccurred())
		Expect(changed.Status.Ready).To(Equal(int32(7)))
		list, err := store.List[*OldSite](ctx, s, store.ListOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(list.Items).To(HaveLen(1))
		_, err = s.Delete(ctx, changed, store.DeleteOptions{})
		Expect(err).NotTo(HaveOccurred())
	})

	It("is deleted by its name alone, whatever its conversion asks for", func(ctx SpecContext) {
		picky := oldVersion()
		picky.To = func(from *OldSite, to *Site) error { return errors.New("spec.replicas is missing") }
		s := newStore(func(o *store.Options) { o.Kinds = append(o.Kinds, picky) })
		created(ctx, s, "a")
		_, err := s.Delete(ctx, &OldSite{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"}}, store.DeleteOptions{})
		Expect(err).NotTo(HaveOccurred())
	})

	It("is refused by Rewrite, which needs the stored version", func(ctx SpecContext) {
		s := newStore(versions)
		before := created(ctx, s, "a", func(site *Site) { site.Spec.Zone = "b" })
		_, err := store.Rewrite[*OldSite](ctx, s)
		Expect(err).To(MatchError(ContainSubstring("rewrite that")))
		Expect(get(ctx, s, "a")).To(Equal(before))
	})

	It("is read if a value was stored as it, and changed by Rewrite", func(ctx SpecContext) {
		s := newStore(versions)
		put(ctx, siteKey(s, "a"), `{"apiVersion":"example.com/v1alpha1","kind":"Site","metadata":{"name":"a","namespace":"default","uid":"u"},"spec":{"repository":"nginx","tag":"1","replicas":"3"}}`)
		Expect(get(ctx, s, "a").Spec.Replicas).To(Equal(int32(3)))
		Expect(store.Rewrite[*Site](ctx, s)).To(Equal(1))
		Expect(raw(ctx, siteKey(s, "a"))).To(ContainSubstring(`"apiVersion":"example.com/v1"`))
	})

	It("writes nothing when it cannot be converted, and says why", func(ctx SpecContext) {
		broken := oldVersion()
		broken.To = func(*OldSite, *Site) error { return errors.New("no way") }
		s := newStore(func(o *store.Options) { o.Kinds = append(o.Kinds, broken) })
		before := revision(ctx, s)
		_, err := s.Create(ctx, newOld())
		Expect(err).To(MatchError(And(ContainSubstring("no way"), ContainSubstring("v1alpha1"))))
		Expect(revision(ctx, s)).To(Equal(before))
	})

	It("must be complete and of the same group and kind", func() {
		for _, change := range []func(*store.Version[*OldSite, *Site]){
			func(v *store.Version[*OldSite, *Site]) { v.To = nil },
			func(v *store.Version[*OldSite, *Site]) { v.GroupVersionKind.Group = "other" },
			func(v *store.Version[*OldSite, *Site]) { v.GroupVersionKind = schema.GroupVersionKind{} },
		} {
			v := oldVersion()
			change(&v)
			_, err := store.New(server.Client(), store.Options{Kinds: []store.AnyKind{siteKind(), v}})
			Expect(err).To(MatchError(ContainSubstring("version")))
		}
	})
})
