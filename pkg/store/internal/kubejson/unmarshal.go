// Package kubejson decodes JSON exactly as sigs.k8s.io/json does, which
// Kubernetes' serializers use, and several times faster.
//
// It has no rules of its own: a fast path decodes what is as Kubernetes writes
// it, and gives up at anything that it has the least doubt about, be it a syntax
// error, a value of a wrong type, a field that comes twice, or a Go type of which
// it does not know how the original treats it. Then the original decodes the
// whole value, and its result and its errors count. So being right means one
// thing only: when the fast path does not give up, it has made what the original
// makes. That is what the fuzz test checks.
//
// There are no tricks with unsafe pointers: all is done through reflect, planned
// once for each type.
package kubejson

import (
	"errors"
	"reflect"

	kjson "sigs.k8s.io/json"
)

// Options say what may be used again, and how strict to be.
type Options struct {
	// Strings, when set, has strings that come again and again.
	Strings *Interner
	// Values, when set, has values that come again and again, which are shared: what
	// is decoded must not be changed.
	Values *Values
	// Strict has fields told of that the type does not have, and fields that come
	// twice.
	Strict bool
}

// Unmarshal decodes a value into what into points to, which must be zero. Field
// names are matched exactly, and integers stay integers where no type says
// otherwise. Nothing of data is kept. When it fails, what into points to is of no
// use. The errors are those of sigs.k8s.io/json.
func Unmarshal(data []byte, into any, o Options) error {
	if decode(data, into, o) {
		return nil
	}
	if !o.Strict {
		return kjson.UnmarshalCaseSensitivePreserveInts(data, into)
	}
	strict, err := kjson.UnmarshalStrict(data, into)
	return errors.Join(append([]error{err}, strict...)...)
}

// decode is the fast path. When it gives up, it returns false and what into
// points to is zero again.
func decode(data []byte, into any, o Options) bool {
	ptr := reflect.ValueOf(into)
	if ptr.Kind() != reflect.Pointer || ptr.IsNil() {
		return false
	}
	v := ptr.Elem()
	d := decoder{data: data, strings: o.Strings, values: o.Values, strict: o.Strict}
	if planOf(v.Type())(&d, v) && d.end() {
		return true
	}
	v.SetZero()
	return false
}
