package patch

import (
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// checkMergeKeys returns an error if a strategic merge patch, at the path of a schema,
// merges an element into a list where its merge key does not tell it from another one.
// The library would merge it with whichever comes first: of two ports with one number
// and two protocols, one would be lost. Whatever else is wrong is left to the library.
func checkMergeKeys(path string, target, change map[string]any, schema strategicpatch.LookupPatchMeta) error {
	if change["$patch"] != nil {
		return nil // it is replaced or deleted, and nothing is merged
	}
	for name, value := range change {
		at := path + "." + name
		switch value := value.(type) {
		case map[string]any:
			sub, _, err := schema.LookupPatchMetadataForStruct(name)
			if err != nil {
				continue // a map without a type of its own, or a field that does not exist
			}
			there, _ := target[name].(map[string]any)
			if err := checkMergeKeys(at, there, value, sub); err != nil {
				return err
			}
		case *[]any:
			sub, meta, err := schema.LookupPatchMetadataForSlice(name)
			if err != nil || meta.GetPatchMergeKey() == "" || !slices.Contains(meta.GetPatchStrategies(), "merge") {
				continue // the list is replaced
			}
			there, _ := target[name].(*[]any)
			l := mergedList{path: at, key: meta.GetPatchMergeKey(), schema: sub}
			if err := l.check(mapsOf(there), mapsOf(value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// mergedList is a list whose elements are merged by a key.
type mergedList struct {
	path, key string
	schema    strategicpatch.LookupPatchMeta
}

func (l mergedList) check(there, changes []map[string]any) error {
	existing := byKey(there, l.key)
	for _, c := range changes {
		switch c["$patch"] {
		case "replace":
			return nil
		case "delete":
			delete(existing, keyOf(c, l.key))
		}
	}
	seen := map[any]bool{}
	for _, c := range changes {
		key := keyOf(c, l.key)
		if key == nil || c["$patch"] == "delete" {
			continue
		}
		if seen[key] || len(existing[key]) > 1 {
			return fmt.Errorf("%s: more than one element has the %s %.100q: a strategic merge patch cannot tell them apart, "+
				"and would lose one; use a JSON patch or a merge patch", l.path, l.key, fmt.Sprint(key))
		}
		seen[key] = true
		var target map[string]any
		if len(existing[key]) == 1 {
			target = existing[key][0]
		}
		if err := checkMergeKeys(l.path, target, c, l.schema); err != nil {
			return err
		}
	}
	return nil
}

// byKey returns the elements with each value of a field.
func byKey(elements []map[string]any, field string) map[any][]map[string]any {
	all := map[any][]map[string]any{}
	for _, e := range elements {
		if key := keyOf(e, field); key != nil {
			all[key] = append(all[key], e)
		}
	}
	return all
}

// keyOf returns the value of a field as the library compares it, or nil if there is none
// that can be compared.
func keyOf(element map[string]any, field string) any {
	switch v := element[field].(type) {
	case json.Number:
		f, _ := v.Float64()
		return f
	case string, bool:
		return v
	}
	return nil
}

// mapsOf returns the elements of a list that are objects.
func mapsOf(list *[]any) (objects []map[string]any) {
	if list == nil {
		return nil
	}
	for _, element := range *list {
		if object, ok := element.(map[string]any); ok {
			objects = append(objects, object)
		}
	}
	return objects
}
