package store_test

import (
	"reflect"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

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
