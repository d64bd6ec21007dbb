// Package secretdata knows the one field of Kubernetes' types that is only ever written:
// the stringData of a Secret.
package secretdata

import (
	"reflect"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Fold moves the stringData of a Secret into its data, where it replaces values of the
// same keys, as Kubernetes' API server does. It does nothing to an object of another
// kind, or of a type without these fields. obj is a pointer to a struct; Fold changes
// it and its maps.
func Fold(kind schema.GroupKind, obj any) {
	if kind != (schema.GroupKind{Kind: "Secret"}) {
		return
	}
	v := reflect.ValueOf(obj).Elem()
	if v.Kind() != reflect.Struct {
		return
	}
	text, ok := fieldOf[map[string]string](v, "StringData")
	data, has := fieldOf[map[string][]byte](v, "Data")
	if !ok || !has || *text == nil {
		return
	}
	if *data == nil && len(*text) > 0 {
		*data = make(map[string][]byte, len(*text))
	}
	for key, value := range *text {
		(*data)[key] = []byte(value)
	}
	*text = nil
}

// fieldOf returns the field of a struct if it has the type T.
func fieldOf[T any](v reflect.Value, name string) (*T, bool) {
	f := v.FieldByName(name)
	if !f.IsValid() || f.Type() != reflect.TypeFor[T]() {
		return nil, false
	}
	return f.Addr().Interface().(*T), true
}
