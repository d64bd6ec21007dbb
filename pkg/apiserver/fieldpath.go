package apiserver

import (
	"fmt"
	"reflect"
	"strings"
)

// pathParts returns a dotted path of JSON fields, such as "metadata.labels", as the parts
// that fieldpath.MakePath takes.
func pathParts(path string) (parts []any) {
	for name := range strings.SplitSeq(path, ".") {
		parts = append(parts, name)
	}
	return parts
}

// jsonField finds the field of a JSON path, such as "spec.replicas", in a struct type.
// It returns the indexes of the fields on the way. Pointers on the way are followed.
func jsonField(t reflect.Type, path string) (index [][]int, found reflect.Type, err error) {
	for name := range strings.SplitSeq(path, ".") {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return nil, nil, fmt.Errorf("%s: %s is no struct", path, t)
		}
		f, ok := fieldByJSON(t, name)
		if !ok {
			return nil, nil, fmt.Errorf("%s: %s has no field %q", path, t, name)
		}
		index, t = append(index, f.Index), f.Type
	}
	return index, t, nil
}

// fieldByJSON returns the field of a struct that encoding/json names so. Fields of
// embedded structs count.
func fieldByJSON(t reflect.Type, name string) (reflect.StructField, bool) {
	for _, f := range reflect.VisibleFields(t) {
		if n, _, _ := strings.Cut(f.Tag.Get("json"), ","); n == name && f.IsExported() {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// fieldAt returns the value at a path that jsonField has found. make says whether nil
// pointers on the way are set; without it, ok is false for them.
func fieldAt(obj any, index [][]int, make bool) (v reflect.Value, ok bool) {
	v = reflect.ValueOf(obj)
	for _, i := range index {
		for v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !make {
					return reflect.Value{}, false
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.FieldByIndex(i)
	}
	return v, true
}
