package kubejson

import (
	"encoding/json"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
)

// nesting remembers what nests worked out.
var nesting sync.Map // reflect.Type -> bool

// nests reports whether values of a type may contain types that decode themselves in
// one another without end. Each of those reads all that it contains once more, so that
// decoding takes the product of length and depth.
func nests(t reflect.Type) bool {
	if known, ok := nesting.Load(t); ok {
		return known.(bool)
	}
	found := false
	for self := range reachable(t) {
		if !decodesItself(self) {
			continue
		}
		for inner := range reachable(self) {
			_, again := reachable(inner)[self]
			if inner != self && again || inner.Kind() == reflect.Interface && inner.NumMethod() > 0 {
				found = true
			}
		}
	}
	nesting.Store(t, found)
	return found
}

func decodesItself(t reflect.Type) bool {
	return t != reflect.TypeFor[runtime.RawExtension]() && t.Kind() != reflect.Interface &&
		reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

// reachable returns t and the types of everything that a value of t contains.
func reachable(t reflect.Type) map[reflect.Type]struct{} {
	found := map[reflect.Type]struct{}{}
	var visit func(t reflect.Type)
	visit = func(t reflect.Type) {
		if _, ok := found[t]; ok {
			return
		}
		found[t] = struct{}{}
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			visit(t.Elem())
		case reflect.Struct:
			for i := range t.NumField() {
				visit(t.Field(i).Type)
			}
		}
	}
	visit(t)
	return found
}
