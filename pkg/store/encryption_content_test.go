package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/homeostat/homeostat/pkg/store"
	"github.com/homeostat/homeostat/pkg/store/internal/seal"
	"github.com/homeostat/homeostat/pkg/store/patch"
)

// marker is content that nobody may see.
const marker = "7417417417417"

// Vault is a kind whose spec decodes and encodes itself, and quotes what it gets.
type Vault = store.Resource[VaultSpec, SiteStatus]

type VaultSpec struct {
	Box    Box            `json:"box,omitzero"`
	Boxes  map[string]Box `json:"boxes,omitempty"`
	Opened []time.Time    `json:"opened,omitempty"`
	Size   int32          `json:"size,omitempty"`
}

type Box struct{ Content string }

func (b *Box) UnmarshalJSON(data []byte) error {
	var content string
	if err := json.Unmarshal(data, &content); err != nil {
		return err
	}
	if strings.HasPrefix(content, "panic") {
		panic("the box has " + content)
	}
	if strings.HasPrefix(content, "fail") {
		return fmt.Errorf("the box has %s", content)
	}
	b.Content = content
	return nil
}

func (b Box) MarshalJSON() ([]byte, error) {
	if strings.HasPrefix(b.Content, "no json") {
		return nil, fmt.Errorf("the box has %s", b.Content)
	}
	if strings.HasPrefix(b.Content, "no panic") {
		panic("the box has " + b.Content)
	}
	return json.Marshal(b.Content)
}

// OldVault is an earlier version of Vault, whose conversion quotes what it gets.
type OldVault = store.Resource[OldVaultSpec, SiteStatus]

type OldVaultSpec struct {
	Box string `json:"box,omitempty"`
}

func vaults(o *store.Options) {
	o.Kinds = append(o.Kinds, store.Kind[*Vault]{GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Vault"}},
		store.Version[*OldVault, *Vault]{
			GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1alpha1", Kind: "Vault"},
			To: func(from *OldVault, to *Vault) error {
				switch {
				case strings.HasPrefix(from.Spec.Box, "panic"):
					panic("cannot convert " + from.Spec.Box)
				case strings.HasPrefix(from.Spec.Box, "fail"):
					return fmt.Errorf("cannot convert %s", from.Spec.Box)
				}
				return nil
			},
			From: func(from *Vault, to *OldVault) error {
				if from.Spec.Box.Content != "" {
					return fmt.Errorf("cannot convert %s", from.Spec.Box.Content)
				}
				return nil
			},
		})
}

// encrypted returns a value as a store with [keys] "alpha" would write it.
func encrypted(etcdKey, plain string) string {
	GinkgoHelper()
	ring, err := seal.NewKeyring(seal.Options{Keys: []seal.Key{{Name: "alpha", Secret: []byte(strings.Repeat("a", 32))}}})
	Expect(err).NotTo(HaveOccurred())
	value, err := ring.Seal(etcdKey, []byte(plain))
	Expect(err).NotTo(HaveOccurred())
	return value
}

// expectNoContent fails if an error, or one that it wraps, has the marker in any form.
func expectNoContent(what string, err error) {
	GinkgoHelper()
	Expect(err).To(HaveOccurred(), what)
	Expect(fmt.Sprintf("%v %+v %#v %q", err, err, err, err)).NotTo(ContainSubstring(marker), what)
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		if inner := err.Unwrap(); inner != nil {
			expectNoContent(what, inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range err.Unwrap() {
			expectNoContent(what, inner)
		}
	}
}

// usesOf returns what each use of an undecodable object says.
func usesOf[T store.Object](ctx context.Context, s *store.Store, obj T, from int64) map[string]error {
	GinkgoHelper()
	errs := map[string]error{}
	_, errs["get"] = store.Get[T](ctx, s, store.KeyOf(obj))
	_, errs["list"] = store.List[T](ctx, s, store.ListOptions{})
	_, errs["update"] = s.Update(ctx, obj)
	_, errs["update of the status"] = s.UpdateStatus(ctx, obj)
	_, _, errs["mutate"] = store.Mutate(ctx, s, store.KeyOf(obj), func(T) error { return nil })
	_, errs["delete"] = s.Delete(ctx, obj, store.DeleteOptions{})
	_, errs["rewrite"] = store.Rewrite[T](ctx, s)
	_, errs["patch"] = patch.Apply(ctx, s, obj, patch.Patch{Type: types.MergePatchType, Data: []byte(`{"spec":null}`)})
	for _, err := range store.Watch[T](ctx, s, store.WatchOptions{From: from}) {
		errs["watch"] = err
		break
	}
	return errs
}

var _ = Describe("The content of encrypted values", func() {
	vault := func(rest string) string {
		return `{"apiVersion":"example.com/v1","kind":"Vault","metadata":{"name":"a","namespace":"default"},` + rest + `}`
	}
	old := func(rest string) string { return strings.Replace(vault(rest), "/v1", "/v1alpha1", 1) }
	for name, c := range map[string]struct{ plain, says string }{
		"a time":                        {vault(`"spec":{"opened":["2026-01-01T00:00:00Z","` + marker + `"]}`), "field spec.opened[1]: the value is not one of type time.Time"},
		"a time of the metadata":        {strings.Replace(vault(`"spec":{}`), `"name"`, `"creationTimestamp":"`+marker+`","name"`, 1), "field metadata.creationTimestamp"},
		"a string for a number":         {vault(`"spec":{"size":"` + marker + `"}`), "field spec.size: the value is not one of type int32"},
		"a number that is too large":    {vault(`"spec":{"size":` + marker + `}`), "field spec.size"},
		"a type that refuses it":        {vault(`"spec":{"box":"fail ` + marker + `"}`), "field spec.box"},
		"the key of a map":              {vault(`"spec":{"boxes":{"` + marker + `":"fail"}}`), "field spec.boxes[*]"},
		"a type that panics":            {vault(`"spec":{"box":"panic ` + marker + `"}`), "decoding panicked"},
		"a number that costs much":      {vault(`"spec":{"size":1e999999999` + marker + `}`), "the exponent has more than three digits"},
		"an unknown field":              {vault(`"spec":{"` + marker + `":1}`), "field spec: it has a field that is unknown or there twice"},
		"an unknown field at the top":   {vault(`"` + marker + `":1`), "it has a field that is unknown"},
		"a duplicate key":               {vault(`"spec":{"boxes":{"` + marker + `":"a","` + marker + `":"b"}}`), "field spec.boxes: it has a field"},
		"a syntax error":                {vault(`"spec":{` + marker + `}`), "the JSON is malformed at byte "},
		"anything":                      {marker, ""},
		"nothing":                       {"", "the JSON is malformed at byte 0"},
		"protobuf":                      {"k8s\x00" + marker, "protobuf"},
		"another name":                  {strings.Replace(vault(`"spec":{}`), `"a"`, `"`+marker+`"`, 1), "another object"},
		"another kind":                  {strings.Replace(vault(`"spec":{}`), "Vault", marker, 1), "of another kind"},
		"another group":                 {strings.Replace(vault(`"spec":{}`), "example.com", marker, 1), "of another kind"},
		"an unknown version":            {strings.Replace(vault(`"spec":{}`), "/v1", "/v2", 1), `Kind=Vault", want`},
		"what is no version":            {strings.Replace(vault(`"spec":{}`), "/v1", "/v"+marker, 1), "of another kind or version"},
		"a conversion that refuses it":  {old(`"spec":{"box":"fail ` + marker + `"}`), "convert from example.com/v1alpha1, Kind=Vault"},
		"a conversion that panics":      {old(`"spec":{"box":"panic ` + marker + `"}`), "conversion panicked"},
		"a field of an earlier version": {old(`"spec":{"box":` + marker + `}`), "field spec.box: the value is not one of type string"},
	} {
		It("is in no error: "+name, func(ctx SpecContext) {
			s := newStore(vaults, keys("alpha"), func(o *store.Options) { o.Strict = true })
			etcdKey := s.Prefix() + "example.com/vaults/default/a"
			from := put(ctx, etcdKey, encrypted(etcdKey, c.plain))
			a := &Vault{}
			a.Namespace, a.Name = "default", "a"
			errs := usesOf(ctx, s, a, from)
			for use, err := range errs {
				expectNoContent(use, err)
				var undecodable *store.UndecodableError
				Expect(errors.As(err, &undecodable)).To(BeTrue(), use)
				Expect(undecodable.Keys).To(Equal([]string{etcdKey}), use)
				Expect(undecodable.Revisions).To(Equal([]int64{from}), use)
			}
			Expect(errs["get"]).To(MatchError(ContainSubstring(c.says)))
			_, decode, err := s.Decoder(a, store.DecodeOptions{MetadataOnly: true})
			Expect(err).NotTo(HaveOccurred())
			if _, err := decode(etcdKey, []byte(encrypted(etcdKey, c.plain)), 1); err != nil {
				expectNoContent("metadata", err)
			}
		})
	}

	for name, plain := range map[string]string{
		"JSON":     `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"default"},"spec":{"containers":[{"name":"` + marker + `","resources":{"limits":{"cpu":"x` + marker + `"}}}]}}`,
		"cost":     `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"default"},"spec":{"containers":[{"resources":{"limits":{"cpu":"1e-9` + marker + `"}}}]}}`,
		"protobuf": "k8s\x00\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x0f\xff" + marker + "x",
	} {
		It("is in no error about one of Kubernetes' types: "+name, func(ctx SpecContext) {
			s := newStore(keys("alpha"))
			etcdKey := s.Prefix() + "core/pods/default/a"
			from := put(ctx, etcdKey, encrypted(etcdKey, plain))
			a := &corev1.Pod{}
			a.Namespace, a.Name = "default", "a"
			for use, err := range usesOf(ctx, s, a, from) {
				expectNoContent(use, err)
			}
			if name != "protobuf" {
				_, err := store.Get[*corev1.Pod](ctx, s, store.KeyOf(a))
				Expect(err).To(MatchError(ContainSubstring("field spec.containers[0].resources.limits[*]: ")))
			}
		})
	}

	It("is in no error of a write that cannot encode it", func(ctx SpecContext) {
		s := newStore(vaults, keys("alpha"))
		a := &Vault{}
		a.Namespace, a.Name = "default", "a"
		Expect(s.Create(ctx, a.DeepCopy())).Error().NotTo(HaveOccurred())
		for _, content := range []string{"no json ", "no panic "} {
			a.Spec.Box.Content = content + marker
			_, err := s.Update(ctx, a)
			expectNoContent("update", err)
			b := a.DeepCopy()
			b.Name = "b"
			_, err = s.Create(ctx, b)
			expectNoContent("create", err)
			encode, err := s.Encoder(b)
			Expect(err).NotTo(HaveOccurred())
			_, err = encode(b)
			expectNoContent("encode", err)
		}
		from := &OldVault{ObjectMeta: a.ObjectMeta}
		from.Spec.Box = "fail " + marker
		_, err := s.Update(ctx, from)
		expectNoContent("update of another version", err)
		a.Spec.Box.Content = marker
		Expect(s.Update(ctx, a)).Error().NotTo(HaveOccurred())
		_, err = store.Get[*OldVault](ctx, s, store.KeyOf(a))
		expectNoContent("conversion to another version", err)
	})

	It("is in no error of validation, which names the field and the rule", func(ctx SpecContext) {
		s := newStore(keys("alpha"), func(o *store.Options) {
			kind := siteKind()
			kind.ValidateDelete = func(site *Site) field.ErrorList {
				return field.ErrorList{field.Invalid(field.NewPath("spec", "image"), site.Spec.Image, "must not be deleted")}
			}
			o.Kinds[0] = kind
		})
		_, err := s.Create(ctx, &Site{ObjectMeta: newSite("a").ObjectMeta, Spec: SiteSpec{Replicas: -741741741, Image: marker}})
		Expect(err).To(MatchError(And(ContainSubstring("spec.replicas: Invalid value: must not be negative"), Not(ContainSubstring("741741741")))))
		site := created(ctx, s, "a", func(site *Site) { site.Spec.Image = marker })
		_, err = s.Delete(ctx, site, store.DeleteOptions{})
		expectNoContent("delete", err)
		Expect(err).To(MatchError(ContainSubstring("must not be deleted")))
	})

	It("is in no error of a patch", func(ctx SpecContext) {
		s := newStore(keys("alpha"))
		created(ctx, s, "a", func(site *Site) { site.Spec.Image, site.Spec.Tags = marker, []string{marker} })
		pod := &corev1.Pod{}
		pod.Namespace, pod.Name = "default", "p"
		pod.Spec.Containers = []corev1.Container{{Name: "c", Image: marker}}
		Expect(s.Create(ctx, pod)).Error().NotTo(HaveOccurred())
		for data, obj := range map[string]store.Object{
			`[{"op":"copy","from":"/spec/image","path":"/spec/opened"}]`:         newSite("a"),
			`[{"op":"copy","from":"/spec/image","path":"/spec/replicas"}]`:       newSite("a"),
			`[{"op":"copy","from":"/spec/image","path":"/metadata/name"}]`:       newSite("a"),
			`[{"op":"copy","from":"/spec/image","path":"/kind"}]`:                newSite("a"),
			`[{"op":"copy","from":"/spec/image","path":"/metadata/generation"}]`: newSite("a"),
			`[{"op":"test","path":"/spec/image","value":"x"}]`:                   newSite("a"),
			`[{"op":"remove","path":"/spec/image/x"}]`:                           newSite("a"),
		} {
			_, err := patch.Apply(ctx, s, obj.DeepCopyObject().(store.Object), patch.Patch{Type: types.JSONPatchType, Data: []byte(data)})
			expectNoContent(data, err)
		}
		for _, data := range []string{
			`{"spec":{"containers":[{"image":"x"}]}}`, `{"spec":{"containers":[{"$patch":"x","name":"c"}]}}`, `{"spec":{"containers":{"image":"x"}}}`,
			`{"spec":{"$retainKeys":"x"}}`, `{"spec":{"$setElementOrder/containers":[{"x":"y"}]}}`,
		} {
			_, err := patch.Apply(ctx, s, pod.DeepCopy(), patch.Patch{Type: types.StrategicMergePatchType, Data: []byte(data)})
			expectNoContent(data, err)
		}
	})

	It("stays in errors of a store that does not encrypt", func(ctx SpecContext) {
		s := newStore()
		put(ctx, siteKey(s, "a"), `{"apiVersion":"example.com/v1","kind":"Site","metadata":{"name":"a","namespace":"default"},"spec":{"opened":"`+marker+`"}}`)
		_, err := store.Get[*Site](ctx, s, store.Key{Namespace: "default", Name: "a"})
		Expect(err).To(MatchError(ContainSubstring(marker)))
	})
})
