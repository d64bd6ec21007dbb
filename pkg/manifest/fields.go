package manifest

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// schemaOf says how to merge a value: its Go type, and the strategy that the tags of its field name.
type schemaOf struct {
	t         reflect.Type // nil if unknown
	mergeKey  string       // names the field that identifies an element of a list; empty for lists of scalars
	merges    bool         // a list is merged and not replaced
	exclusive bool         // an object has only the fields of one alternative ("retainKeys")
}

// object returns the schema of an object of a type, which may be nil.
func objectSchema(t reflect.Type) schemaOf { return schemaOf{t: indirect(t)} }

func indirect(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// field returns the schema of a field of an object, or the zero schema if it is not known.
func (s schemaOf) field(name string) schemaOf {
	switch {
	case s.t == nil || reflect.PointerTo(s.t).Implements(reflect.TypeFor[json.Unmarshaler]()):
		return schemaOf{}
	case s.t.Kind() == reflect.Map:
		return schemaOf{t: indirect(s.t.Elem())}
	case s.t.Kind() == reflect.Struct:
		if f, ok := findField(s.t, name); ok {
			return newSchema(f)
		}
	}
	return schemaOf{}
}

// element returns the schema of the elements of a list.
func (s schemaOf) element() schemaOf {
	if s.t == nil || s.t.Kind() != reflect.Slice {
		return schemaOf{}
	}
	return schemaOf{t: indirect(s.t.Elem()), exclusive: s.exclusive}
}

// isMap reports whether an object's fields are keys of a map, which several writers fill.
func (s schemaOf) isMap() bool { return s.t != nil && s.t.Kind() == reflect.Map }

func newSchema(f reflect.StructField) schemaOf {
	strategies := strings.Split(f.Tag.Get("patchStrategy"), ",")
	return schemaOf{
		t: indirect(f.Type), mergeKey: f.Tag.Get("patchMergeKey"),
		merges: slices.Contains(strategies, "merge"), exclusive: slices.Contains(strategies, "retainKeys"),
	}
}

// findField finds the field of a struct, or of the structs that it embeds, by its name in JSON.
func findField(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == name && name != "" {
			return f, true
		}
		if embedded := indirect(f.Type); f.Anonymous && tag == "" && embedded.Kind() == reflect.Struct {
			if found, ok := findField(embedded, name); ok {
				return found, true
			}
		}
	}
	return reflect.StructField{}, false
}
