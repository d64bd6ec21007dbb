package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/homeostat/homeostat/pkg/store"
	"github.com/homeostat/homeostat/pkg/store/patch"
)

// laterSite is a value as a later program writes it, with fields that Site lacks.
const laterSite = `{"apiVersion":"example.com/v1","kind":"Site",` +
	`"metadata":{"name":"a","namespace":"default","uid":"u","generation":1,"creationTimestamp":"2030-01-01T00:00:00Z","shard":"s1",` +
	`"finalizers":["example.com/f"],"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p","uid":"pu","weight":3}]},` +
	`"spec":{"image":"x","replicas":1,"zone":"a","tls":"on"},"status":{"ready":1,"phase":"Fine"},"audit":{"by":["me"]}}`

// decoded returns a stored JSON value as what it means.
func decoded(value string) (tree map[string]any) {
	GinkgoHelper()
	Expect(json.Unmarshal([]byte(value), &tree)).To(Succeed(), value)
	return tree
}

func at(tree any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			tree = tree.(map[string]any)[step]
		case int:
			tree = tree.([]any)[step]
		}
	}
	return tree
}

var _ = Describe("A value with fields that the type lacks", func() {
	expectKept := func(ctx context.Context, key string) {
		GinkgoHelper()
		tree := decoded(raw(ctx, key))
		Expect(at(tree, "spec", "tls")).To(Equal("on"))
		Expect(at(tree, "status", "phase")).To(Equal("Fine"))
		Expect(at(tree, "metadata", "shard")).To(Equal("s1"))
		Expect(at(tree, "metadata", "ownerReferences", 0, "weight")).To(BeEquivalentTo(3))
		Expect(at(tree, "audit", "by", 0)).To(Equal("me"))
	}

	DescribeTable("keeps them through", func(ctx SpecContext, write func(ctx context.Context, s *store.Store) error) {
		s := newStore()
		rev := put(ctx, siteKey(s, "a"), laterSite)
		Expect(write(ctx, s)).To(Succeed())
		Expect(revision(ctx, s)).To(Equal(rev+1), "something is written")
		expectKept(ctx, siteKey(s, "a"))
	},
		Entry("UpdateStatus", func(ctx context.Context, s *store.Store) error {
			site := get(ctx, s, "a")
			site.Status.Ready = 2
			_, err := s.UpdateStatus(ctx, site)
			return err
		}),
		Entry("UpdateStatus of a status that becomes empty", func(ctx context.Context, s *store.Store) error {
			site := get(ctx, s, "a")
			site.Status = SiteStatus{}
			_, err := s.UpdateStatus(ctx, site)
			return err
		}),
		Entry("Update of labels", func(ctx context.Context, s *store.Store) error {
			site := get(ctx, s, "a")
			site.Labels = map[string]string{"x": "y"}
			_, err := s.Update(ctx, site)
			return err
		}),
		Entry("Update of the spec", func(ctx context.Context, s *store.Store) error {
			site := get(ctx, s, "a")
			site.Spec.Replicas = 7
			_, err := s.Update(ctx, site)
			return err
		}),
		Entry("Update by an object that was never read", func(ctx context.Context, s *store.Store) error {
			site := newSite("a")
			site.Finalizers, site.OwnerReferences = []string{"example.com/f"}, get(ctx, s, "a").OwnerReferences
			site.Spec.Image = "z"
			_, err := s.Update(ctx, site)
			return err
		}),
		Entry("one more finalizer and owner", func(ctx context.Context, s *store.Store) error {
			site := get(ctx, s, "a")
			site.Finalizers = append(site.Finalizers, "example.com/g")
			site.OwnerReferences = append(site.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: "q", UID: "qu"})
			_, err := s.Update(ctx, site)
			return err
		}),
		Entry("Mutate", func(ctx context.Context, s *store.Store) error {
			_, _, err := store.Mutate(ctx, s, store.Key{Namespace: "default", Name: "a"}, func(site *Site) error {
				site.Spec.Image, site.Status.Ready = "z", 9
				return nil
			})
			return err
		}),
		Entry("a merge patch", func(ctx context.Context, s *store.Store) error {
			_, err := patch.Apply(ctx, s, newSite("a"), patch.Patch{Type: types.MergePatchType, Data: []byte(`{"spec":{"image":"z"}}`)})
			return err
		}),
		Entry("a JSON patch of the status", func(ctx context.Context, s *store.Store) error {
			_, err := patch.ApplyStatus(ctx, s, newSite("a"), patch.Patch{Type: types.JSONPatchType,
				Data: []byte(`[{"op":"replace","path":"/status/ready","value":5}]`)})
			return err
		}),
		Entry("a deletion that marks the object", func(ctx context.Context, s *store.Store) error {
			_, err := s.Delete(ctx, newSite("a"), store.DeleteOptions{})
			return err
		}),
		Entry("a deletion of the collection that marks the object", func(ctx context.Context, s *store.Store) error {
			_, _, err := store.DeleteCollection[*Site](ctx, s, store.ListOptions{}, store.DeleteOptions{})
			return err
		}),
		Entry("a transaction with other writes", func(ctx context.Context, s *store.Store) error {
			t := s.Txn()
			site := get(ctx, s, "a")
			site.Status.Ready = 2
			t.Create(newSite("b"))
			t.UpdateStatus(site)
			_, err := t.Commit(ctx)
			return err
		}),
	)

	It("keeps them under encryption, and through a new key", func(ctx SpecContext) {
		s := newStore()
		put(ctx, siteKey(s, "a"), laterSite)
		sealed := newStore(sharing(s), keys("alpha"))
		Expect(store.Rewrite[*Site](ctx, sealed)).To(Equal(1))
		Expect(raw(ctx, siteKey(s, "a"))).To(HavePrefix("k8s:enc:aesgcm:v1:alpha:"))
		site := get(ctx, sealed, "a")
		site.Status.Ready = 2
		Expect(sealed.UpdateStatus(ctx, site)).Error().NotTo(HaveOccurred())
		open := newStore(sharing(s), func(o *store.Options) { o.EncryptionKeys = nil })
		Expect(store.Rewrite[*Site](ctx, open)).Error().To(HaveOccurred(), "it cannot read the value")
		back := newStore(sharing(s), keys("beta", "alpha"))
		Expect(store.Rewrite[*Site](ctx, back)).To(Equal(1))
		Expect(store.Rewrite[*Site](ctx, back)).To(Equal(0))
		Expect(raw(ctx, siteKey(s, "a"))).To(HavePrefix("k8s:enc:aesgcm:v1:beta:"))
	})

	It("stays in its version and its codec, which alone can hold them", func(ctx SpecContext) {
		s := newStore(versions, func(o *store.Options) { o.Codec = store.Protobuf })
		put(ctx, siteKey(s, "a"), `{"apiVersion":"example.com/v1alpha1","kind":"Site","metadata":{"name":"a","namespace":"default"},`+
			`"spec":{"repository":"nginx","tag":"1","replicas":"2","tls":"on"}}`)
		site := get(ctx, s, "a")
		site.Spec.Image = "nginx:2"
		site.Status.Ready = 3
		txn := s.Txn()
		txn.Update(site)
		txn.UpdateStatus(site)
		Expect(txn.Commit(ctx)).Error().NotTo(HaveOccurred())
		tree := decoded(raw(ctx, siteKey(s, "a")))
		Expect(at(tree, "apiVersion")).To(Equal("example.com/v1alpha1"))
		Expect(at(tree, "spec", "tag")).To(Equal("2"))
		Expect(at(tree, "spec", "tls")).To(Equal("on"))
		Expect(at(tree, "status", "ready")).To(BeEquivalentTo(3))

		before := revision(ctx, s)
		n, err := store.Rewrite[*Site](ctx, s)
		Expect(n).To(Equal(0))
		Expect(err).To(MatchError(And(ContainSubstring(siteKey(s, "a")), ContainSubstring("stays v1alpha1 json"))))
		Expect(revision(ctx, s)).To(Equal(before))
	})

	It("is kept of Kubernetes' own types, in a list too", func(ctx SpecContext) {
		s := newStore()
		key := s.Prefix() + "core/pods/default/p"
		put(ctx, key, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"default"},`+
			`"spec":{"containers":[{"name":"a","image":"x","gpu":1},{"name":"b","image":"y","ports":[{"containerPort":80,"zone":"z"}]}]}}`)
		_, _, err := store.Mutate(ctx, s, store.Key{Namespace: "default", Name: "p"}, func(p *corev1.Pod) error {
			c := p.Spec.Containers
			p.Spec.Containers = []corev1.Container{{Name: "new", Image: "n"}, c[1], c[0]}
			p.Spec.Containers[2].Image = "xx"
			p.Spec.Containers[1].Ports[0].Name = "http"
			return nil
		})
		Expect(err).NotTo(HaveOccurred())
		containers := at(decoded(raw(ctx, key)), "spec", "containers")
		Expect(at(containers, 0)).NotTo(HaveKey("gpu"))
		Expect(at(containers, 1, "ports", 0, "zone")).To(Equal("z"))
		Expect(at(containers, 1, "ports", 0, "name")).To(Equal("http"))
		Expect(at(containers, 2, "gpu")).To(BeEquivalentTo(1))
		Expect(at(containers, 2, "image")).To(Equal("xx"))
	})

	It("says so in its form", func(ctx SpecContext) {
		s := newStore()
		_, decode, err := s.Decoder(&Site{}, store.DecodeOptions{})
		Expect(err).NotTo(HaveOccurred())
		d, err := decode(siteKey(s, "a"), []byte(laterSite), 7)
		Expect(err).NotTo(HaveOccurred())
		Expect(d.Form).To(Equal(store.Form{Version: "v1", Codec: store.JSON, UnknownFields: true}))
		Expect(d.Form.String()).To(Equal("v1 json, with unknown fields"))
	})
})

// Sizes is a kind whose rules a later program tightens.
type Sizes = store.Resource[SizesSpec, SizesStatus]

type SizesSpec struct {
	Size int    `json:"size"`
	Mode string `json:"mode,omitempty"`
}

type SizesStatus struct {
	Level int `json:"level,omitempty"`
}

func sizesStore(change ...func(*store.Kind[*Sizes])) func(prefix *store.Store) *store.Store {
	return func(s *store.Store) *store.Store {
		GinkgoHelper()
		k := store.Kind[*Sizes]{GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Sizes"}, Resource: "sizes"}
		for _, f := range change {
			f(&k)
		}
		return newStore(func(o *store.Options) {
			o.Kinds = append(o.Kinds, k)
			if s != nil {
				o.Prefix = s.Prefix()
			}
		})
	}
}

func oneToFive(k *store.Kind[*Sizes]) {
	k.ValidateCreate = func(s *Sizes) (errs field.ErrorList) {
		if s.Spec.Size < 1 || s.Spec.Size > 5 {
			errs = append(errs, field.Invalid(field.NewPath("spec", "size"), s.Spec.Size, "must be 1 to 5"))
		}
		if s.Status.Level < 0 {
			errs = append(errs, field.Invalid(field.NewPath("status", "level"), s.Status.Level, "must not be negative"))
		}
		if s.Labels["team"] == "none" {
			errs = append(errs, field.Invalid(field.NewPath("metadata", "labels").Key("team"), "none", "is retired"))
		}
		return errs
	}
}

// immutableMode has a default for a field that it holds immutable.
func immutableMode(k *store.Kind[*Sizes]) {
	k.Default = func(s *Sizes) {
		if s.Spec.Mode == "" {
			s.Spec.Mode = "auto"
		}
	}
	k.ValidateUpdate = func(s, old *Sizes) (errs field.ErrorList) {
		if s.Spec.Mode != old.Spec.Mode {
			errs = append(errs, field.Forbidden(field.NewPath("spec", "mode"), "is immutable"))
		}
		return errs
	}
}

var _ = Describe("A rule that became stricter", func() {
	key := store.Key{Namespace: "default", Name: "a"}

	// stored returns a store with today's rules, and in it an object from before.
	stored := func(ctx context.Context, rules func(*store.Kind[*Sizes])) (*store.Store, *Sizes) {
		GinkgoHelper()
		before := sizesStore()(nil)
		obj := &Sizes{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a", Finalizers: []string{"example.com/f"},
			Labels: map[string]string{"team": "none"}}, Spec: SizesSpec{Size: 9}}
		Expect(before.Create(ctx, obj)).Error().NotTo(HaveOccurred())
		return sizesStore(rules)(before), obj
	}

	It("lets status and metadata be written", func(ctx SpecContext) {
		s, obj := stored(ctx, oneToFive)
		obj.Status.Level = 3
		Expect(s.UpdateStatus(ctx, obj)).Error().NotTo(HaveOccurred())
		obj.Annotations = map[string]string{"a": "b"}
		obj.Finalizers = append(obj.Finalizers, "example.com/g")
		Expect(s.Update(ctx, obj)).Error().NotTo(HaveOccurred())
		Expect(obj.Generation).To(BeEquivalentTo(1))
		Expect(patch.Apply(ctx, s, obj, patch.Patch{Type: types.MergePatchType, Data: []byte(`{"metadata":{"annotations":{"a":null}}}`)})).
			Error().NotTo(HaveOccurred())
		_, _, err := store.Mutate(ctx, s, key, func(obj *Sizes) error { obj.Status.Level = 4; return nil })
		Expect(err).NotTo(HaveOccurred())
	})

	It("holds for what is written", func(ctx SpecContext) {
		s, obj := stored(ctx, oneToFive)
		for what, change := range map[string]func(*Sizes){
			"spec.size":    func(o *Sizes) { o.Spec.Size = 8 },
			"team":         func(o *Sizes) { o.Labels["other"] = "x" },
			"status.level": func(o *Sizes) { o.Status.Level = -1 },
		} {
			next := obj.DeepCopy()
			change(next)
			t := s.Txn()
			t.Update(next)
			t.UpdateStatus(next)
			_, err := t.Commit(ctx)
			Expect(err).To(MatchError(apierrors.IsInvalid, "Invalid"), what)
			Expect(err).To(MatchError(ContainSubstring(what)))
		}
		Expect(s.Create(ctx, &Sizes{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "b"}, Spec: SizesSpec{Size: 9}})).
			Error().To(MatchError(apierrors.IsInvalid, "Invalid"))
		obj.Spec.Size = 5
		Expect(s.Update(ctx, obj)).Error().NotTo(HaveOccurred(), "the way to a valid object is open")
	})

	It("lets an object be deleted, whose finalizers are removed one by one", func(ctx SpecContext) {
		s, obj := stored(ctx, func(k *store.Kind[*Sizes]) {
			oneToFive(k)
			k.ValidateUpdate = func(obj, old *Sizes) field.ErrorList {
				return append(k.ValidateCreate(obj), field.Forbidden(field.NewPath("metadata", "finalizers"), "never change"))
			}
		})
		Expect(s.Delete(ctx, obj.DeepCopy(), store.DeleteOptions{})).Error().NotTo(HaveOccurred())
		_, _, err := store.Mutate(ctx, s, key, func(obj *Sizes) error { obj.Finalizers = nil; return nil })
		Expect(err).NotTo(HaveOccurred())
		_, err = store.Get[*Sizes](ctx, s, key)
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
	})

	It("lets an object with a bad label from outside go", func(ctx SpecContext) {
		s := sizesStore()(nil)
		put(ctx, s.Prefix()+"example.com/sizes/default/a", `{"apiVersion":"example.com/v1","kind":"Sizes","metadata":{"name":"a",`+
			`"namespace":"default","labels":{"not a label!":"x"},"finalizers":["nobody knows"],"deletionTimestamp":"2030-01-01T00:00:00Z"},"spec":{"size":1}}`)
		_, _, err := store.Mutate(ctx, s, key, func(obj *Sizes) error { obj.Status.Level = 1; return nil })
		Expect(err).NotTo(HaveOccurred())
		_, _, err = store.Mutate(ctx, s, key, func(obj *Sizes) error { obj.Finalizers = nil; return nil })
		Expect(err).NotTo(HaveOccurred())
		_, err = store.Get[*Sizes](ctx, s, key)
		Expect(err).To(MatchError(apierrors.IsNotFound, "NotFound"))
	})

	It("may come with a default for a field that must not change", func(ctx SpecContext) {
		s, obj := stored(ctx, immutableMode)
		obj.Status.Level = 3
		Expect(s.UpdateStatus(ctx, obj)).Error().NotTo(HaveOccurred())
		Expect(raw(ctx, s.Prefix()+"example.com/sizes/default/a")).NotTo(ContainSubstring("auto"), "the spec is left alone")
		obj.Labels = nil
		Expect(s.Update(ctx, obj)).Error().NotTo(HaveOccurred())
		Expect(obj.Generation).To(BeEquivalentTo(1))
		obj.Spec.Size = 4
		Expect(s.Update(ctx, obj)).Error().NotTo(HaveOccurred())
		Expect(obj.Spec.Mode).To(Equal("auto"))
		Expect(obj.Generation).To(BeEquivalentTo(2))
		obj.Spec.Mode = "manual"
		Expect(s.Update(ctx, obj)).Error().To(MatchError(apierrors.IsInvalid, "Invalid"))
	})

	It("writes a default out without a new generation", func(ctx SpecContext) {
		s, obj := stored(ctx, immutableMode)
		obj.Spec.Mode = "auto"
		Expect(s.Update(ctx, obj)).Error().NotTo(HaveOccurred())
		Expect(obj.Generation).To(BeEquivalentTo(1))
		Expect(raw(ctx, s.Prefix()+"example.com/sizes/default/a")).To(ContainSubstring("auto"))
		now := revision(ctx, s)
		obj.Spec.Mode = ""
		Expect(s.Update(ctx, obj)).Error().NotTo(HaveOccurred())
		Expect(revision(ctx, s)).To(Equal(now), "what a writer leaves empty is the default, which is stored")
	})
})

var _ = Describe("Two programs that store two versions", func() {
	// reversed stores v1alpha1 and knows v1.
	reversed := func(o *store.Options) {
		forward := oldVersion()
		o.Kinds = []store.AnyKind{
			store.Kind[*OldSite]{GroupVersionKind: forward.GroupVersionKind},
			store.Version[*Site, *OldSite]{
				GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"},
				To:               forward.From, From: forward.To,
			},
		}
	}

	It("write nothing when they change nothing", func(ctx SpecContext) {
		v1 := newStore(versions)
		alpha := newStore(sharing(v1), reversed)
		site := newSite("a")
		site.Spec.Image, site.Spec.Replicas = "nginx:1", 2
		Expect(v1.Create(ctx, site)).Error().NotTo(HaveOccurred())
		now := revision(ctx, v1)
		for range 2 {
			for _, s := range []*store.Store{alpha, v1} {
				for _, read := range []func() store.Object{
					func() store.Object { return get(ctx, s, "a") },
					func() store.Object {
						return must(store.Get[*OldSite](ctx, s, store.Key{Namespace: "default", Name: "a"}))
					},
				} {
					for _, write := range []func(context.Context, store.Object) (int64, error){s.Update, s.UpdateStatus} {
						obj := read()
						Expect(write(ctx, obj)).Error().NotTo(HaveOccurred())
						Expect(s.WithCache(cache{siteKey(s, "a"): read()}).UpdateStatus(ctx, obj)).Error().NotTo(HaveOccurred())
					}
				}
				Expect(revision(ctx, s)).To(Equal(now))
			}
		}
	})

	It("let a migration come to its end, and go back", func(ctx SpecContext) {
		v1 := newStore(versions)
		alpha := newStore(sharing(v1), reversed)
		const n = 20
		for i := range n {
			site := newSite(fmt.Sprint("s", i))
			site.Spec.Image = "nginx:1"
			Expect(alpha.Create(ctx, site)).Error().NotTo(HaveOccurred())
		}
		versionsStored := func() map[string]int {
			GinkgoHelper()
			found := map[string]int{}
			for i := range n {
				v := raw(ctx, siteKey(v1, fmt.Sprint("s", i)))
				found[at(decoded(v), "apiVersion").(string)]++
			}
			return found
		}
		touch := func(s *store.Store) {
			GinkgoHelper()
			for i := range n {
				Expect(s.UpdateStatus(ctx, get(ctx, s, fmt.Sprint("s", i)))).Error().NotTo(HaveOccurred())
			}
		}
		Expect(store.Rewrite[*Site](ctx, v1)).To(Equal(n))
		touch(alpha)
		Expect(versionsStored()).To(Equal(map[string]int{"example.com/v1": n}))
		Expect(store.Rewrite[*Site](ctx, v1)).To(Equal(0))
		Expect(store.Rewrite[*OldSite](ctx, alpha)).To(Equal(n))
		touch(v1)
		Expect(versionsStored()).To(Equal(map[string]int{"example.com/v1alpha1": n}))
	})

	It("write nothing when another form is the only difference", func(ctx SpecContext) {
		s := newStore()
		put(ctx, siteKey(s, "a"), strings.ReplaceAll(`{"metadata":{"namespace":"default","name":"a"}, "spec":{"zone":"a","image":""},`+
			` "kind":"Site", "apiVersion":"example.com/v1", "status":null}`, " ", "\n "))
		now := revision(ctx, s)
		Expect(s.UpdateStatus(ctx, get(ctx, s, "a"))).Error().NotTo(HaveOccurred())
		Expect(s.Update(ctx, get(ctx, s, "a"))).Error().NotTo(HaveOccurred())
		Expect(revision(ctx, s)).To(Equal(now))
		Expect(store.Rewrite[*Site](ctx, s)).To(Equal(1))
		Expect(store.Rewrite[*Site](ctx, s)).To(Equal(0))
	})
})
