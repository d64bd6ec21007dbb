package manifest

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/homeostat/homeostat/pkg/store"
)

// misfit is a field whose value its Go type cannot take.
type misfit struct {
	field string
	err   error
}

// misfits finds the values that do not fit their types. A decoder stops at the first one and often cannot say where it
// is: types such as quantities and times have their own UnmarshalJSON, which does not know the path. So misfits decodes
// each value separately, and descends into it only if that fails.
func misfits(n node) []misfit {
	_, err := store.UnmarshalStrict(n.data, reflect.New(n.t).Interface())
	if err == nil {
		return nil
	}
	if n.decodesItself() {
		return []misfit{{n.path, fmt.Errorf("%s does not fit: %s", describe(n.data), strings.TrimPrefix(err.Error(), "json: "))}}
	}
	children := n.children()
	if n.t.Kind() == reflect.Pointer {
		return misfits(children[0])
	}
	var inner []misfit
	for _, child := range children {
		inner = append(inner, misfits(child)...)
	}
	if len(inner) == 0 {
		return []misfit{{n.path, fmt.Errorf("wants %s, not %s", wanted(n.t), describe(n.data))}}
	}
	return inner
}

// wanted describes the values that a Go type accepts, in the terms of a manifest.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a base64 string"
		}
		return "a list"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "an integer (" + t.Kind().String() + ")"
	}
}

// describe names a JSON value and shows it if it is short.
func describe(data []byte) string {
	text := string(data)
	if runes := []rune(text); len(runes) > 40 {
		text = string(runes[:40]) + "..."
	}
	switch {
	case strings.HasPrefix(text, "{"):
		return "an object"
	case strings.HasPrefix(text, "["):
		return "a list"
	case strings.HasPrefix(text, `"`):
		return "the string " + text
	case text == "null":
		return "null"
	case text == "true", text == "false":
		return "the boolean " + text
	default:
		return "the number " + text
	}
}
