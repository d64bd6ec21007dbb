package kubejson

import (
	"math"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// known has plans for types with an UnmarshalJSON method that calls another JSON
// decoder, and for strings that are always unique.
var known = map[reflect.Type]plan{
	reflect.TypeFor[metav1.Time]():        decodeTime,
	reflect.TypeFor[intstr.IntOrString](): decodeIntOrString,
	reflect.TypeFor[types.UID]():          decodeUnique,
}

func decodeTime(d *decoder, v reflect.Value) bool {
	if isNull, ok := d.null(); isNull || !ok {
		return ok
	}
	text, ok := d.text()
	t := v.Addr().Interface().(*metav1.Time)
	// UnmarshalText accepts only strict RFC 3339, with the same result as time.Parse.
	if !ok || t.UnmarshalText(text) != nil {
		return false
	}
	t.Time = t.Local()
	return true
}

func decodeIntOrString(d *decoder, v reflect.Value) bool {
	target := v.Addr().Interface().(*intstr.IntOrString)
	if d.peek() == '"' {
		text, ok := d.text()
		*target = intstr.IntOrString{Type: intstr.String, StrVal: d.strings.get(text)}
		return ok
	}
	text, integer, ok := d.number()
	if !ok || !integer {
		return false
	}
	n, ok := parseInt(text)
	*target = intstr.FromInt32(int32(n))
	return ok && math.MinInt32 <= n && n <= math.MaxInt32
}

func decodeUnique(d *decoder, v reflect.Value) bool {
	if isNull, ok := d.null(); isNull || !ok {
		return ok
	}
	text, ok := d.text()
	v.SetString(string(text))
	return ok
}
