package preserve

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// A value is parsed into a tree of objects, lists and leaves. Leaves are comparable.
type (
	object = map[string]any
	list   = []any
)

// format is an encoding of Go types.
type format interface {
	// field returns the field of a struct that the encoding has under a name.
	field(t reflect.Type, name string) (reflect.StructField, bool)
	// nameOf returns the name that the encoding has for the field with the JSON name
	// jsonName, or "".
	nameOf(t reflect.Type, jsonName string) string
}

// merge applies the difference between old and new to stored, and returns the result. All
// three have the type t, which is nil if it is not known. merge does not change them.
func merge(f format, t reflect.Type, stored, old, new any) any {
	switch new := new.(type) {
	case object:
		stored, isStored := stored.(object)
		if old, isOld := old.(object); isStored && isOld {
			return mergeObject(f, structOf(t), stored, old, new)
		}
	case list:
		stored, isStored := stored.(list)
		if old, isOld := old.(list); isStored && isOld && len(stored) == len(old) {
			return mergeList(f, t, "", stored, old, new)
		}
	}
	if reflect.DeepEqual(old, new) && stored != nil {
		return stored
	}
	return new
}

func mergeObject(f format, t reflect.Type, stored, old, new object) object {
	merged := maps.Clone(stored)
	for name := range old {
		if _, kept := new[name]; kept {
			continue
		}
		delete(merged, name)
		field, _ := fieldOf(f, t, name)
		if there, ok := stored[name].(object); ok && isStructIn(t, field) {
			if rest := merge(f, field.Type, there, old[name], object{}).(object); len(rest) > 0 {
				merged[name] = rest
			}
		}
	}
	for name, is := range new {
		was, known := old[name]
		there, has := stored[name]
		field, mergeKey := fieldOf(f, t, name)
		if _, isObject := there.(object); isObject && !known {
			was = object{} // empty, and therefore not encoded
		}
		merged[name] = is
		if has {
			merged[name] = mergeField(f, field.Type, mergeKey, there, was, is)
		}
	}
	return merged
}

func mergeField(f format, t reflect.Type, mergeKey string, stored, old, new any) any {
	there, isStored := stored.(list)
	was, isOld := old.(list)
	is, isNew := new.(list)
	if isStored && isOld && isNew && len(there) == len(was) {
		return mergeList(f, t, mergeKey, there, was, is)
	}
	return merge(f, t, stored, old, new)
}

func mergeList(f format, t reflect.Type, mergeKey string, stored, old, new list) list {
	if reflect.DeepEqual(old, new) {
		return stored
	}
	elem := elemOf(t)
	origins := match(old, new, keyNames(f, elem, mergeKey))
	merged := make(list, len(new))
	for i, is := range new {
		merged[i] = is
		if from := origins[i]; from >= 0 {
			merged[i] = merge(f, elem, stored[from], old[from], is)
		}
	}
	return merged
}

// match returns for each new element the index of the old one that it replaces, or -1.
func match(old, new list, keyNames []string) []int {
	origins := slices.Repeat([]int{-1}, len(new))
	for _, name := range keyNames {
		was, is := keysOf(old, name), keysOf(new, name)
		if was == nil || is == nil {
			continue
		}
		for key, i := range is {
			if from, ok := was[key]; ok {
				origins[i] = from
			}
		}
		return origins
	}
	used := make([]bool, len(old))
	equals := map[string][]int{} // the unused old elements, by what they are
	for i, was := range old {
		is := string(fingerprint(nil, was))
		equals[is] = append(equals[is], i)
	}
	for i, is := range new {
		text := string(fingerprint(nil, is))
		if from := equals[text]; len(from) > 0 {
			origins[i], used[from[0]] = from[0], true
			equals[text] = from[1:]
		}
	}
	for i := range new {
		if origins[i] < 0 && len(old) == len(new) && !used[i] {
			origins[i] = i
		}
	}
	return origins
}

// fingerprint appends a text that only equal values have.
func fingerprint(text []byte, value any) []byte {
	switch v := value.(type) {
	case object:
		text = fmt.Appendf(text, "object %d ", len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			text = fmt.Appendf(text, "%d %s ", len(name), name)
			text = fingerprint(text, v[name])
		}
	case list:
		text = fmt.Appendf(text, "list %d ", len(v))
		for _, element := range v {
			text = fingerprint(text, element)
		}
	default:
		leaf := fmt.Sprint(v)
		text = fmt.Appendf(text, "%T %d %s ", v, len(leaf), leaf)
	}
	return text
}

// keysOf returns the index of each element by its key, or nil if an element has none or
// two have the same.
func keysOf(elements list, name string) map[any]int {
	byKey := make(map[any]int, len(elements))
	for i, e := range elements {
		o, _ := e.(object)
		key, ok := o[name]
		if !ok || !reflect.TypeOf(key).Comparable() {
			return nil
		}
		if _, twice := byKey[key]; twice {
			return nil
		}
		byKey[key] = i
	}
	return byKey
}

// keyNames returns the names of the fields that can be the key of the elements.
func keyNames(f format, elem reflect.Type, mergeKey string) (names []string) {
	for _, jsonName := range []string{mergeKey, "name", "key", "id", "uid", "type"} {
		if name := f.nameOf(structOf(elem), jsonName); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// isStructIn reports whether a field of t is a struct, which cannot be absent.
func isStructIn(t reflect.Type, field reflect.StructField) bool {
	return t != nil && t.Kind() == reflect.Struct && field.Type != nil && field.Type.Kind() == reflect.Struct
}

// fieldOf returns the field of a struct, and the key of its elements if it is a list.
func fieldOf(f format, t reflect.Type, name string) (field reflect.StructField, mergeKey string) {
	if t == nil {
		return field, ""
	}
	if t.Kind() == reflect.Map {
		return reflect.StructField{Type: t.Elem()}, ""
	}
	if t.Kind() == reflect.Struct {
		field, _ = f.field(t, name)
	}
	return field, field.Tag.Get("patchMergeKey")
}

// structOf returns t without its pointers.
func structOf(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// elemOf returns the type of a list's elements, or nil.
func elemOf(t reflect.Type) reflect.Type {
	if t = structOf(t); t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		return t.Elem()
	}
	return nil
}
