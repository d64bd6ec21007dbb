package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// node is a JSON value in a document, with the Go type to decode it to.
type node struct {
	path string
	data []byte
	t    reflect.Type
}

// decodesItself reports whether a type has its own UnmarshalJSON, such as a time or a quantity.
func (n node) decodesItself() bool {
	return reflect.PointerTo(n.t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

// children returns the values in n for which its type has a field or an element. It returns none if the value does not
// have the form of the type.
func (n node) children() []node {
	switch n.t.Kind() {
	case reflect.Pointer:
		return []node{{n.path, n.data, n.t.Elem()}}
	case reflect.Struct:
		return n.fields()
	case reflect.Map:
		var entries []node
		values := object(n.data)
		for _, key := range slices.Sorted(maps.Keys(values)) {
			entries = append(entries, node{join(n.path, key), values[key], n.t.Elem()})
		}
		return entries
	case reflect.Slice:
		var values []json.RawMessage
		if json.Unmarshal(n.data, &values) != nil {
			return nil
		}
		var elements []node
		for i, value := range values {
			elements = append(elements, node{fmt.Sprintf("%s[%d]", n.path, i), value, n.t.Elem()})
		}
		return elements
	}
	return nil
}

func (n node) fields() []node {
	values := object(n.data)
	if values == nil {
		return nil
	}
	var fields []node
	for i := range n.t.NumField() {
		field := n.t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if value, ok := values[name]; ok && name != "" {
			fields = append(fields, node{join(n.path, name), value, field.Type})
		} else if field.Anonymous && name == "" {
			fields = append(fields, node{n.path, n.data, field.Type})
		}
	}
	return fields
}

func object(data []byte) map[string]json.RawMessage {
	var values map[string]json.RawMessage
	if json.Unmarshal(data, &values) != nil {
		return nil
	}
	return values
}
