package storetest

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/homeostat/homeostat/pkg/store"
)

func secret() []byte { return bytes.Repeat([]byte("a"), 32) }

// envelope is a protobuf value of a kind, around what may be anything.
func envelope(t testing.TB, apiVersion, kind string, raw []byte) []byte {
	t.Helper()
	unknown := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: apiVersion, Kind: kind}, Raw: raw}
	value, err := unknown.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte("k8s\x00"), value...)
}

// sealed is a value as it is encrypted for a key: what garbage cannot be, so
// that nothing behind the decryption would be reached otherwise.
func sealed(t testing.TB, etcdKey string, plain []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(secret())
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, aead.NonceSize())
	value := append([]byte("k8s:enc:aesgcm:v1:alpha:"), nonce...)
	return aead.Seal(value, nonce, plain, []byte(etcdKey))
}

func FuzzDecodeEveryForm(f *testing.F) {
	o := options()
	o.EncryptionKeys = []store.EncryptionKey{{Name: "alpha", Secret: secret()}}
	s, err := store.New(clientv3.NewCtxClient(context.Background()), o)
	if err != nil {
		f.Fatal(err)
	}
	deployment := deployments().sized("a", 3)
	deployment.Spec.Template.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}}
	message, err := deployment.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{
		nil, []byte("null"), []byte("{"), []byte("k8s\x00"), []byte("k8s:enc:aesgcm:v1:alpha:"), []byte("k8s:enc:aesgcm:v1:alpha:0123456789ab"),
		[]byte("k8s:enc:aesgcm:v1:"), []byte("k8s:enc:aesgcm:v1:other:x"), message, message[:len(message)/2],
		envelope(f, "apps/v1", "Deployment", message), envelope(f, "", "", nil),
		[]byte(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"namespace":"default","name":"a"},"spec":{"minReadySeconds":3}}`),
		[]byte(`{"apiVersion":"storetest.example.com/v1","kind":"Widget","metadata":{"namespace":"default","name":"a"},"spec":{"size":1}}`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		for _, like := range []store.Object{&appsv1.Deployment{}, &corev1.ConfigMap{}, &widget{}} {
			decodeAll(t, s, like, value)
		}
	})
}

// decodeAll decodes a value as it is, as a protobuf message, and each of these
// encrypted as well, which must make no difference.
func decodeAll(t *testing.T, s *store.Store, like store.Object, value []byte) {
	prefix, decode, err := s.Decoder(like, store.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	known, err := s.KindOf(like)
	if err != nil {
		t.Fatal(err)
	}
	etcdKey := prefix + "default/a"
	gvk := known.GroupVersionKind
	for _, plain := range [][]byte{value, append([]byte("k8s\x00"), value...), envelope(t, gvk.GroupVersion().String(), gvk.Kind, value)} {
		decoded, err := decode(etcdKey, plain, 7)
		obj := decoded.Object
		if err == nil {
			checkDecoded(t, obj, like)
		}
		if bytes.HasPrefix(plain, []byte("k8s:enc:")) {
			continue
		}
		if _, again := decode(etcdKey, sealed(t, etcdKey, plain), 7); (again == nil) != (err == nil) {
			t.Fatalf("encrypted: %v; not encrypted: %v", again, err)
		}
		if _, err := decode(etcdKey, sealed(t, etcdKey+"b", plain), 7); err == nil {
			t.Fatal("a value encrypted for another key was decoded")
		}
	}
}

func checkDecoded(t *testing.T, obj, like store.Object) {
	if store.KeyOf(obj) != key("a") || obj.GetResourceVersion() != "7" {
		t.Fatalf("decoded %s at %s", store.KeyOf(obj), obj.GetResourceVersion())
	}
	if gvk := obj.GetObjectKind().GroupVersionKind(); gvk.Kind == "" {
		t.Fatalf("a %T decoded without a kind", like)
	}
	obj.SetLabels(map[string]string{}) // it is the caller's, whole
	obj.SetDeletionTimestamp(&metav1.Time{})
	obj.DeepCopyObject()
}
