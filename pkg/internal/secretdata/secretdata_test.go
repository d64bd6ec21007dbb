package secretdata_test

import (
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/internal/secretdata"
)

func TestFold(t *testing.T) {
	kind := schema.GroupKind{Kind: "Secret"}
	data := map[string][]byte{"a": []byte("1"), "b": []byte("2")}
	for name, c := range map[string]struct{ secret, want corev1.Secret }{
		"nothing":            {corev1.Secret{}, corev1.Secret{}},
		"only data":          {corev1.Secret{Data: data}, corev1.Secret{Data: data}},
		"only text":          {corev1.Secret{StringData: map[string]string{"a": "x"}}, corev1.Secret{Data: map[string][]byte{"a": []byte("x")}}},
		"empty text":         {corev1.Secret{StringData: map[string]string{}}, corev1.Secret{}},
		"text replaces data": {corev1.Secret{Data: data, StringData: map[string]string{"a": "x", "c": ""}}, corev1.Secret{Data: map[string][]byte{"a": []byte("x"), "b": []byte("2"), "c": {}}}},
	} {
		c.secret.Data = maps.Clone(c.secret.Data)
		for range 2 {
			secretdata.Fold(kind, &c.secret)
			if !equality.Semantic.DeepEqual(c.secret, c.want) || c.secret.StringData != nil {
				t.Errorf("%s: %+v", name, c.secret)
			}
		}
	}
}

func TestFoldOfOthers(t *testing.T) {
	secret := corev1.Secret{StringData: map[string]string{"a": "x"}}
	secretdata.Fold(schema.GroupKind{Group: "example.com", Kind: "Secret"}, &secret)
	if secret.StringData["a"] != "x" || secret.Data != nil {
		t.Errorf("another group's: %+v", secret)
	}
	own := struct{ StringData []string }{[]string{"x"}}
	secretdata.Fold(schema.GroupKind{Kind: "Secret"}, &own)
	if len(own.StringData) != 1 {
		t.Errorf("another type's: %+v", own)
	}
}
