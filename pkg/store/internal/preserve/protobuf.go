package preserve

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// Protobuf applies the difference between old and new, which are encodings of messages of
// type t, to stored. t must have the struct tags of Kubernetes' generated types. It
// returns an error if one of the encodings is not valid.
func Protobuf(t reflect.Type, stored, old, new []byte) ([]byte, error) {
	m := messageOf(t)
	var trees [3]any
	for i, data := range [][]byte{stored, old, new} {
		tree, err := m.parse(data)
		if err != nil {
			return nil, fmt.Errorf("preserve unknown fields: %w", err)
		}
		trees[i] = tree
	}
	return m.append(nil, merge(protobufFormat{}, t, trees[0], trees[1], trees[2]).(object)), nil
}

// HasUnknown reports whether an encoding of a message of type t has fields that t lacks.
// data must be valid.
func HasUnknown(t reflect.Type, data []byte) bool { return messageOf(t).hasUnknown(data) }

// message says which fields of a type are messages. The other fields, and the entries of
// maps, are leaves: their bytes are kept or replaced as a whole.
type message struct {
	fields func() map[protowire.Number]messageField
}

type messageField struct {
	message  *message // nil for a leaf
	repeated bool
}

// messages caches the result of messageOf. It depends on the type alone, so users of the
// cache share no state.
var messages sync.Map // reflect.Type -> *message

func messageOf(t reflect.Type) *message {
	if m, ok := messages.Load(t); ok {
		return m.(*message)
	}
	m, _ := messages.LoadOrStore(t, &message{sync.OnceValue(func() map[protowire.Number]messageField { return fieldsOf(t) })})
	return m.(*message)
}

func fieldsOf(t reflect.Type) map[protowire.Number]messageField {
	fields := map[protowire.Number]messageField{}
	for i := range t.NumField() {
		f := t.Field(i)
		number, ok := numberOf(f)
		if !ok {
			continue
		}
		inner, field := structOf(f.Type), messageField{}
		if elem := elemOf(f.Type); elem != nil {
			inner, field.repeated = structOf(elem), true
		}
		if isMessage(inner) {
			field.message = messageOf(inner)
		}
		fields[number] = field
	}
	return fields
}

// isMessage reports whether a type is a struct with field numbers. Other structs, such as
// times and quantities, have their own encoding.
func isMessage(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if _, ok := numberOf(t.Field(i)); ok {
			return true
		}
	}
	return false
}

// numberOf returns the field number in a tag such as `protobuf:"bytes,1,opt,name=spec"`.
func numberOf(f reflect.StructField) (protowire.Number, bool) {
	parts := strings.SplitN(f.Tag.Get("protobuf"), ",", 3)
	if len(parts) < 2 {
		return 0, false
	}
	n, err := strconv.ParseInt(parts[1], 10, 32)
	return protowire.Number(n), err == nil && n > 0
}

func (m *message) hasUnknown(data []byte) bool {
	fields := m.fields()
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return false
		}
		size := protowire.ConsumeFieldValue(number, kind, data[n:])
		if size < 0 {
			return false
		}
		field, known := fields[number]
		if !known {
			return true
		}
		if field.message != nil && kind == protowire.BytesType {
			if content, _ := protowire.ConsumeBytes(data[n:]); field.message.hasUnknown(content) {
				return true
			}
		}
		data = data[n+size:]
	}
	return false
}

// parse returns a tree in which fields have their numbers as names. A leaf has the bytes
// of all its occurrences with their tags.
func (m *message) parse(data []byte) (object, error) {
	fields, tree := m.fields(), object{}
	single, leaves := map[protowire.Number][]byte{}, map[protowire.Number][]byte{} // all occurrences of a field
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(number, kind, data[n:])
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		field, name := fields[number], strconv.Itoa(int(number))
		content, _ := protowire.ConsumeBytes(data[n:])
		switch {
		case field.message == nil || kind != protowire.BytesType:
			leaves[number] = append(leaves[number], data[:n+size]...)
		case field.repeated:
			element, err := field.message.parse(content)
			if err != nil {
				return nil, err
			}
			elements, _ := tree[name].(list)
			tree[name] = append(elements, element)
		default: // a later occurrence adds to an earlier one
			if before, again := single[number]; again {
				single[number] = append(before, content...)
			} else {
				single[number] = slices.Clip(content) // a part of data, which append must not overwrite
			}
		}
		data = data[n+size:]
	}
	for number, content := range single {
		inner, err := fields[number].message.parse(content)
		if err != nil {
			return nil, err
		}
		tree[strconv.Itoa(int(number))] = inner
	}
	for number, content := range leaves {
		tree[strconv.Itoa(int(number))] = string(content)
	}
	return tree, nil
}

// append is the inverse of parse.
func (m *message) append(data []byte, tree object) []byte {
	fields := m.fields()
	number := func(name string) protowire.Number {
		n, _ := strconv.Atoi(name)
		return protowire.Number(n)
	}
	byNumber := func(a, b string) int { return int(number(a)) - int(number(b)) }
	for _, name := range slices.SortedFunc(maps.Keys(tree), byNumber) {
		embed := func(o object) {
			data = protowire.AppendTag(data, number(name), protowire.BytesType)
			data = protowire.AppendBytes(data, fields[number(name)].message.append(nil, o))
		}
		switch value := tree[name].(type) {
		case string:
			data = append(data, value...)
		case object:
			embed(value)
		case list:
			for _, element := range value {
				embed(element.(object))
			}
		}
	}
	return data
}

type protobufFormat struct{}

func (protobufFormat) nameOf(t reflect.Type, jsonName string) string {
	if t == nil || t.Kind() != reflect.Struct || jsonName == "" {
		return ""
	}
	f, ok := jsonField(t, jsonName)
	number, hasNumber := numberOf(f)
	if !ok || !hasNumber {
		return ""
	}
	return strconv.Itoa(int(number))
}

func (protobufFormat) field(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if n, ok := numberOf(t.Field(i)); ok && strconv.Itoa(int(n)) == name {
			return t.Field(i), true
		}
	}
	return reflect.StructField{}, false
}
