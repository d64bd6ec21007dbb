package fault

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	kjson "sigs.k8s.io/json"

	"github.com/homeostat/homeostat/pkg/store/internal/kubejson"
)

// Type is a Go type.
type Type = reflect.Type

// maxDepth bounds the work of Locate, which decodes the value once at each level.
const maxDepth = 16

// Place is where a value does not decode.
type Place struct {
	// Path is the path of the field, such as spec.containers[2].limits[*]. It has [*] for
	// the key of a map, which is content. It is empty for the whole value.
	Path string
	// Type is the Go type that the field does not decode into.
	Type Type
	// Surplus says that only unknown or duplicate fields keep it from being decoded.
	Surplus bool
}

// field begins a message about the place.
func (p Place) field() string {
	if p.Path == "" {
		return ""
	}
	return "field " + p.Path + ": "
}

// Locate returns the deepest field, down to a limit, that keeps a value in JSON from
// being decoded into type t.
func Locate(data []byte, t Type, o kubejson.Options) Place {
	o = kubejson.Options{Strict: o.Strict}
	at := Place{Type: t}
	for range maxDepth {
		step, inner, t := descend(data, at.Type, o)
		if t == nil {
			break
		}
		at.Path, at.Type, data = at.Path+step, t, inner
	}
	at.Path = strings.TrimPrefix(at.Path, ".")
	at.Surplus = o.Strict && decodes(data, at.Type, kubejson.Options{})
	return at
}

// descend returns the first part of a value that does not decode by itself, and how it
// extends the path. The type is nil if there is none.
func descend(data []byte, t Type, o kubejson.Options) (step string, inner []byte, _ Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if decodesItself(t) {
		return "", nil, nil
	}
	switch t.Kind() {
	case reflect.Struct:
		var parts map[string]json.RawMessage
		if kjson.UnmarshalCaseSensitivePreserveInts(data, &parts) != nil {
			return "", nil, nil
		}
		for _, f := range fieldsOf(t) {
			if part, ok := parts[f.name]; ok && !decodes(part, f.t, o) {
				return "." + f.name, part, f.t
			}
		}
	case reflect.Map:
		var parts map[string]json.RawMessage
		if kjson.UnmarshalCaseSensitivePreserveInts(data, &parts) != nil {
			return "", nil, nil
		}
		for _, part := range parts {
			if !decodes(part, t.Elem(), o) {
				return "[*]", part, t.Elem()
			}
		}
	case reflect.Slice, reflect.Array:
		var parts []json.RawMessage
		if kjson.UnmarshalCaseSensitivePreserveInts(data, &parts) != nil {
			return "", nil, nil
		}
		i := slices.IndexFunc(parts, func(part json.RawMessage) bool { return !decodes(part, t.Elem(), o) })
		if i >= 0 {
			return fmt.Sprintf("[%d]", i), parts[i], t.Elem()
		}
	}
	return "", nil, nil
}

// decodes reports whether a value decodes into type t.
func decodes(data []byte, t Type, o kubejson.Options) (ok bool) {
	defer func() {
		if recover() != nil { // in a method of the type
			ok = false
		}
	}()
	_, err := kubejson.Unmarshal(data, reflect.New(t).Interface(), o)
	return err == nil
}

func decodesItself(t Type) bool {
	ptr := reflect.PointerTo(t)
	return ptr.Implements(reflect.TypeFor[json.Unmarshaler]()) || ptr.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

type jsonField struct {
	name string
	t    Type
}

// fieldsOf returns the fields that a struct has in JSON, also those of embedded structs.
func fieldsOf(t Type) (fields []jsonField) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		switch {
		case tag == "-":
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			fields = append(fields, fieldsOf(f.Type)...)
		case f.IsExported() && name == "":
			fields = append(fields, jsonField{f.Name, f.Type})
		case f.IsExported():
			fields = append(fields, jsonField{name, f.Type})
		}
	}
	return fields
}
