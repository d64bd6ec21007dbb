package store

import (
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// hasPlainMetadata reports whether the kind has its metadata where
// metav1.PartialObjectMetadata has it.
func (k *kindInfo) hasPlainMetadata() bool {
	f, ok := k.goType.FieldByName("ObjectMeta")
	if !ok || f.Type != reflect.TypeFor[metav1.ObjectMeta]() || len(f.Index) != 1 {
		return false
	}
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	_, isProto := reflect.New(k.goType).Interface().(protoMessage)
	return name == "metadata" && (!isProto || strings.HasPrefix(f.Tag.Get("protobuf"), "bytes,1,"))
}

// decodeMetadata decodes an object's metadata and leaves the rest empty. It decodes a
// value of another version as a whole, since a conversion may need all of it.
func (k *kindInfo) decodeMetadata(c *codec, plain []byte) (Object, valueType, error) {
	var partial metav1.PartialObjectMetadata
	lenient := *c
	if c.strict {
		lenient.strict, lenient.shared = false, nil
	}
	held, err := lenient.unmarshal(plain, &partial)
	if err != nil {
		return nil, held, err
	}
	held.unknown = false // the rest of the object was not looked at
	meta := reflect.ValueOf(&partial.ObjectMeta).Elem()
	if held.gvk != k.gvk {
		var whole Object
		if whole, held, err = k.decodePlain(c, plain); err != nil {
			return nil, held, err
		}
		meta = metaOf(whole)
	}
	obj := k.newObject()
	metaOf(obj).Set(meta)
	obj.GetObjectKind().SetGroupVersionKind(k.gvk)
	return obj, held, nil
}
