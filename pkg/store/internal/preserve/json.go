package preserve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// JSON applies the difference between old and new, which are encodings of objects of type
// t, to stored. It returns an error if one of them is not valid JSON.
func JSON(t reflect.Type, stored, old, new []byte) ([]byte, error) {
	var trees [3]any
	for i, data := range [][]byte{stored, old, new} {
		tree, err := parseJSON(data)
		if err != nil {
			return nil, fmt.Errorf("preserve unknown fields: %w", err)
		}
		trees[i] = tree
	}
	return json.Marshal(merge(jsonFormat{}, t, trees[0], trees[1], trees[2]))
}

// parseJSON keeps numbers as they are written. If an object has a field twice, it merges
// the two values, as decoding into a struct does.
func parseJSON(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	tree, err := parseValue(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one value")
	}
	return tree, nil
}

func parseValue(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		o := object{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := parseValue(d)
			if err != nil {
				return nil, err
			}
			o[name.(string)] = join(o[name.(string)], value)
		}
		_, err = d.Token()
		return o, err
	case json.Delim('['):
		l := list{}
		for d.More() {
			value, err := parseValue(d)
			if err != nil {
				return nil, err
			}
			l = append(l, value)
		}
		_, err = d.Token()
		return l, err
	}
	return token, nil
}

// join may change first.
func join(first, second any) any {
	a, isObject := first.(object)
	b, isToo := second.(object)
	if !isObject || !isToo {
		return second
	}
	for name, value := range b {
		a[name] = join(a[name], value)
	}
	return a
}

type jsonFormat struct{}

func (jsonFormat) nameOf(t reflect.Type, jsonName string) string { return jsonName }

func (jsonFormat) field(t reflect.Type, name string) (reflect.StructField, bool) {
	return jsonField(t, name)
}

// jsonField finds a field by its name in JSON, also in embedded structs.
func jsonField(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := structOf(f.Type)
		switch {
		case tag == name, tag == "" && !f.Anonymous && f.Name == name:
			return f, true
		case tag == "" && f.Anonymous && inner.Kind() == reflect.Struct:
			if found, ok := jsonField(inner, name); ok {
				return found, true
			}
		}
	}
	return reflect.StructField{}, false
}
