package manifest

import (
	"maps"
	"reflect"
	"slices"
)

// mergeObjects returns current with what a manifest says: the fields of next are set, and those of last that next lacks
// are removed. All other fields stay. last is what the manifest said before. It changes none of the three.
func mergeObjects(s schemaOf, last, next, current map[string]any) map[string]any {
	result := maps.Clone(current)
	for name, was := range last {
		if _, stays := next[name]; stays {
			continue
		}
		if rest := without(s.field(name), was, current[name]); rest == nil {
			delete(result, name)
		} else {
			result[name] = rest
		}
	}
	for name, value := range next {
		if value == nil {
			delete(result, name) // so that it gets its default
		} else {
			result[name] = mergeValues(s.field(name), last[name], value, current[name])
		}
	}
	if s.exclusive && !reflect.DeepEqual(result, current) {
		// The manifest chooses an alternative. The fields of another one would make it invalid.
		maps.DeleteFunc(result, func(name string, _ any) bool { return next[name] == nil })
	}
	return result
}

func mergeValues(s schemaOf, last, next, current any) any {
	switch next := next.(type) {
	case map[string]any:
		if current, ok := current.(map[string]any); ok {
			was, _ := last.(map[string]any)
			return mergeObjects(s, was, next, current)
		}
	case []any:
		if current, ok := current.([]any); ok && s.merges {
			was, _ := last.([]any)
			return mergeLists(s, was, next, current)
		}
	}
	return next
}

// without returns what is left of a value that the manifest has dropped, or nil: the entries of others in a map or in a
// merged list. A struct goes as a whole: what is left of it would be defaults.
func without(s schemaOf, last, current any) any {
	switch current := current.(type) {
	case map[string]any:
		if was, ok := last.(map[string]any); ok && s.isMap() {
			if rest := mergeObjects(s, was, nil, current); len(rest) > 0 {
				return rest
			}
		}
	case []any:
		if was, ok := last.([]any); ok && s.merges {
			if rest, ok := mergeLists(s, was, nil, current).([]any); ok && len(rest) > 0 {
				return rest
			}
		}
	}
	return nil
}

// mergeLists merges lists whose elements have an identity: first the elements of next in their order, then those that
// only current has. If the identities are not unique, there is no telling which element is which: next replaces all.
func mergeLists(s schemaOf, last, next, current []any) any {
	was, _ := byIdentity(s, last)
	is, ok := byIdentity(s, current)
	wanted, unique := byIdentity(s, next)
	if !ok || !unique {
		return next
	}
	merged := make([]any, 0, len(next)+len(current))
	for _, element := range next {
		id, _ := identity(s, element)
		there, ok := is[id]
		if !ok {
			merged = append(merged, element)
			continue
		}
		merged = append(merged, mergeValues(s.element(), was[id], element, there))
	}
	return slices.AppendSeq(merged, func(yield func(any) bool) {
		for _, element := range current {
			id, _ := identity(s, element)
			_, inNext := wanted[id]
			if _, dropped := was[id]; !inNext && !dropped && !yield(element) {
				return
			}
		}
	})
}

// byIdentity indexes a list, and returns false if an element has no identity or that of another one.
func byIdentity(s schemaOf, list []any) (map[any]any, bool) {
	elements := make(map[any]any, len(list))
	for _, element := range list {
		id, ok := identity(s, element)
		if _, twice := elements[id]; !ok || twice {
			return nil, false
		}
		elements[id] = element
	}
	return elements, true
}

// identity returns the value of the merge key of an object, or a scalar itself.
func identity(s schemaOf, element any) (id any, ok bool) {
	if s.mergeKey != "" {
		object, _ := element.(map[string]any)
		element, ok = object[s.mergeKey]
		if !ok {
			return nil, false
		}
	}
	switch element.(type) {
	case nil, map[string]any, []any:
		return nil, false
	}
	return element, true
}
