package store_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/store"
)

// homemade has metadata that is not a metav1.ObjectMeta.
type homemade struct {
	metav1.TypeMeta `json:",inline"`
	Meta            metav1.ObjectMeta `json:"metadata,omitempty"`
	metav1.Object   `json:"-"`
}

func (h *homemade) DeepCopyObject() runtime.Object { c := *h; return &c }

// The options change what objects cost, not what they are.
func TestDecodeOptions(t *testing.T) {
	s := benchStore(t)
	want := benchDeployment(1)
	key := s.Prefix() + "apps/deployments/" + want.Namespace + "/" + want.Name
	want.ResourceVersion = "12345"
	inJSON, inProtobuf := benchDeployment(1), benchDeployment(1)
	for _, v := range []benchValue{jsonValue(t, key, inJSON), protoValue(t, key, "apps/v1", "Deployment", inProtobuf)} {
		for _, o := range []store.DecodeOptions{{}, {Shared: true}, {MetadataOnly: true}, {MetadataOnly: true, Shared: true}} {
			_, decode, err := s.Decoder(&appsv1.Deployment{}, o)
			if err != nil {
				t.Fatal(err)
			}
			for range 4 {
				decoded, err := decode(v.key, v.value, 12345)
				got, name := decoded.Object, decoded.Key
				if err != nil || name != store.KeyOf(want) {
					t.Fatal(name, err)
				}
				expected := want
				if o.MetadataOnly {
					expected = &appsv1.Deployment{TypeMeta: want.TypeMeta, ObjectMeta: want.ObjectMeta}
				}
				if !reflect.DeepEqual(got, expected) {
					t.Fatalf("%+v: got %#v\nwant %#v", o, got, expected)
				}
			}
		}
	}
}

// Without Shared, the caller may change decoded objects: later ones do not show
// the changes.
func TestDecodedObjectsAreTheCallers(t *testing.T) {
	s := benchStore(t)
	v := jsonValue(t, s.Prefix()+"apps/deployments/team-1/web-000001", benchDeployment(1))
	_, decode, err := s.Decoder(&appsv1.Deployment{}, store.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		decoded, err := decode(v.key, v.value, 1)
		obj := decoded.Object
		if err != nil || obj.GetLabels()["tier"] != "front" {
			t.Fatal(obj, err)
		}
		obj.GetLabels()["tier"] = "changed"
		obj.(*appsv1.Deployment).Spec.Template.Spec.Containers[0].Name = "changed"
	}
}

// The kind of a value is read from the fields with exactly these names, even if
// the value does not decode into the kind's type.
func TestKindOfAValueIsMatchedExactly(t *testing.T) {
	s, err := store.New(clientv3.NewCtxClient(t.Context()), store.Options{Kinds: []store.AnyKind{siteKind(), oldVersion()}})
	if err != nil {
		t.Fatal(err)
	}
	_, decode, err := s.Decoder(&Site{}, store.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const rest = `"metadata":{"name":"a","namespace":"default"},"spec":{"replicas":"2"}}`
	for value, decodes := range map[string]bool{
		`{"apiVersion":"example.com/v1alpha1","kind":"Site",` + rest:                true,
		`{"apiVersion":"example.com/v1alpha1","kind":"Site","Kind":"Other",` + rest: true,
		`{"apiVersion":"example.com/v1alpha1","Kind":"Site",` + rest:                false,
		`{"apiVersion":"example.com/v1alpha1","kind":"Other","KIND":"Site",` + rest: false,
	} {
		decoded, err := decode(s.Prefix()+"example.com/sites/default/a", []byte(value), 1)
		obj := decoded.Object
		switch {
		case decodes && (err != nil || obj.(*Site).Spec.Replicas != 2):
			t.Errorf("%s: %v, %v", value, obj, err)
		case !decodes && err == nil:
			t.Errorf("%s: is decoded", value)
		}
	}
}

func TestMetadataOfAHomemadeType(t *testing.T) {
	s, err := store.New(clientv3.NewCtxClient(t.Context()), store.Options{Kinds: []store.AnyKind{
		store.Kind[*homemade]{GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Homemade"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Decoder(&homemade{}, store.DecodeOptions{MetadataOnly: true}); err == nil {
		t.Error("what it cannot do is not refused")
	}
}

// limited has quantities in its spec.
type limited = store.Resource[limitedSpec, struct{}]

type limitedSpec struct {
	Quota  resource.Quantity            `json:"quota,omitzero"`
	ByName map[string]resource.Quantity `json:"byName,omitempty"`
}

// A value that takes more time to decode than its length allows is undecodable at once,
// in every form. Text that nobody computes with is not.
func TestCostlyValues(t *testing.T) {
	s, err := store.New(clientv3.NewCtxClient(t.Context()), store.Options{Scheme: scheme.Scheme, Kinds: []store.AnyKind{
		store.Kind[*limited]{GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Limited"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	deployment := func(change func(*appsv1.Deployment)) []byte {
		d := benchDeployment(1)
		change(d)
		return protoValue(t, "", "apps/v1", "Deployment", d).value
	}
	const placeholder, huge = "123456789123", "1e-999999999" // of one length
	limit := func(text string) []byte {
		return []byte(`{"apiVersion":"example.com/v1","kind":"Limited","metadata":{"namespace":"team-1","name":"web-000001"},"spec":` + text + `}`)
	}
	for name, c := range map[string]struct {
		like   store.Object
		value  []byte
		costly bool
	}{
		"protobuf": {&appsv1.Deployment{}, bytes.ReplaceAll(deployment(func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse(placeholder)}
		}), []byte(placeholder), []byte(huge)), true},
		"protobuf, annotation": {&appsv1.Deployment{}, deployment(func(d *appsv1.Deployment) {
			d.Annotations = map[string]string{"a": huge, "b": strings.Repeat("7", 100_000)}
		}), false},
		"custom":       {&limited{}, limit(`{"quota":"1e-999999999"}`), true},
		"map":          {&limited{}, limit(`{"byName":{"a":"1","b":1e999999999}}`), true},
		"digits":       {&limited{}, limit(`{"quota":"` + strings.Repeat("7", 1_400_000) + `"}`), true},
		"many digits":  {&limited{}, limit(`{"quota":"` + strings.Repeat("7", 100) + `"}`), false},
		"three digits": {&limited{}, limit(`{"quota":"1e-999","byName":{"a":"1e30"}}`), false},
	} {
		t.Run(name, func(t *testing.T) {
			prefix, decode, err := s.Decoder(c.like, store.DecodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := decode(prefix+"team-1/web-000001", c.value, 1)
				done <- err
			}()
			select {
			case err = <-done:
			case <-time.After(5 * time.Second):
				t.Fatal("takes too long")
			}
			if (err != nil) != c.costly || c.costly && !strings.Contains(err.Error(), "digits") {
				t.Error(err)
			}
		})
	}
}

// What nobody could read is not written.
func TestCostlyValuesAreNotWritten(t *testing.T) {
	for _, codec := range []store.Codec{store.JSON, store.Protobuf} {
		s, err := store.New(clientv3.NewCtxClient(t.Context()), store.Options{Scheme: scheme.Scheme, Codec: codec})
		if err != nil {
			t.Fatal(err)
		}
		d := benchDeployment(1)
		d.UID = ""
		q := resource.NewScaledQuantity(1, 999999999)
		q.Format = resource.DecimalExponent
		d.Spec.Template.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"cpu": *q}
		if _, err = s.Create(t.Context(), d); err == nil || !strings.Contains(err.Error(), "exponent") {
			t.Errorf("%s: %v", codec, err)
		}
	}
}
