package kubejson

import (
	"encoding"
	"reflect"
	"slices"
	"strconv"
)

func newMap(t reflect.Type) plan {
	switch key := t.Key(); {
	case key.Kind() != reflect.String, reflect.PointerTo(key).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return giveUp
	case t == reflect.TypeFor[map[string]string]():
		return decodeStringMap
	}
	elem := later(t.Elem())
	return func(d *decoder, v reflect.Value) bool {
		if isNull, ok := d.null(); isNull || !ok {
			return ok
		}
		v.Set(reflect.MakeMap(t))
		key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		more, ok := d.open('{', '}')
		for ; more; more, ok = d.more('}') {
			name, isName := d.name()
			if !isName {
				return false
			}
			key.SetString(d.strings.get(name))
			if d.strict && v.MapIndex(key).IsValid() {
				return false
			}
			value.SetZero()
			if !elem(d, value) {
				return false
			}
			v.SetMapIndex(key, value)
		}
		return ok
	}
}

// decodeStringMap decodes a map[string]string, such as labels and annotations.
func decodeStringMap(d *decoder, v reflect.Value) bool {
	if isNull, ok := d.null(); isNull || !ok {
		return ok
	}
	m := map[string]string{}
	v.Set(reflect.ValueOf(m))
	more, ok := d.open('{', '}')
	for ; more; more, ok = d.more('}') {
		name, isName := d.name()
		if !isName {
			return false
		}
		key := d.strings.get(name)
		if _, twice := m[key]; twice && d.strict {
			return false
		}
		var text []byte
		isNull, isText := d.null()
		if !isNull && isText {
			text, isText = d.text()
		}
		if !isText {
			return false
		}
		m[key] = d.strings.get(text)
	}
	return ok
}

// decodeAny decodes into an empty interface.
func decodeAny(d *decoder, v reflect.Value) bool {
	value, ok := d.any()
	if ok && value != nil {
		v.Set(reflect.ValueOf(value))
	}
	return ok
}

func (d *decoder) any() (value any, ok bool) {
	switch d.peek() {
	case '{':
		return d.anyMap()
	case '[':
		return d.anyList()
	case '"':
		text, ok := d.text()
		return d.strings.get(text), ok
	case 't':
		return true, d.literal("true")
	case 'f':
		return false, d.literal("false")
	case 'n':
		return nil, d.literal("null")
	}
	return d.anyNumber()
}

func (d *decoder) anyMap() (value any, ok bool) {
	m := map[string]any{}
	more, ok := d.open('{', '}')
	for ; more; more, ok = d.more('}') {
		name, isName := d.name()
		if !isName {
			return nil, false
		}
		key := d.strings.get(name)
		if _, twice := m[key]; twice && d.strict {
			return nil, false
		}
		if m[key], ok = d.any(); !ok {
			return nil, false
		}
	}
	return m, ok
}

func (d *decoder) anyList() (value any, ok bool) {
	list := []any{}
	more, ok := d.open('[', ']')
	for ; more; more, ok = d.more(']') {
		element, ok := d.any()
		if !ok {
			return nil, false
		}
		list = append(list, element)
	}
	return slices.Clip(list), ok
}

// anyNumber returns an int64 for an integer that fits in one, and else a float64.
func (d *decoder) anyNumber() (value any, ok bool) {
	text, integer, ok := d.number()
	if !ok {
		return nil, false
	}
	if integer {
		if n, ok := parseInt(text); ok {
			return n, true
		}
	}
	f, err := strconv.ParseFloat(string(text), 64)
	return f, err == nil
}
