package patch

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/homeostat/homeostat/pkg/store/internal/fault"
)

// applyMerge applies a merge patch, as in RFC 7396.
func applyMerge(before, patch []byte) ([]byte, error) {
	target, err := parse(before)
	if err != nil {
		return nil, err
	}
	change, err := parse(patch)
	if err != nil {
		return nil, fmt.Errorf("malformed merge patch: %w", err)
	}
	if _, ok := change.(map[string]any); !ok {
		return nil, fmt.Errorf("malformed merge patch: want an object")
	}
	return json.Marshal(merge(target, change))
}

func merge(target, change any) any {
	changes, ok := change.(map[string]any)
	if !ok {
		return change
	}
	fields, ok := target.(map[string]any)
	if !ok {
		fields = map[string]any{}
	}
	for name, value := range changes {
		if value == nil {
			delete(fields, name)
		} else {
			fields[name] = merge(fields[name], value)
		}
	}
	return fields
}

// applyStrategic applies a strategic merge patch to an object that has the type of obj.
// It returns a *limitError if the patch merges lists that are too long.
func applyStrategic(before, patch []byte, obj any) (after []byte, err error) {
	target, err := parse(before)
	if err != nil {
		return nil, err
	}
	change, err := parse(patch)
	if err != nil {
		return nil, fmt.Errorf("malformed strategic merge patch: %w", err)
	}
	changes, ok := change.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("malformed strategic merge patch: want an object")
	}
	if err := checkLists(target, change); err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed strategic merge patch: %v", r)
		}
		if err != nil { // which may quote the object
			err = &fault.Error{Fault: "the strategic merge patch cannot be applied; " + fault.Withheld, Err: err}
		}
	}()
	schema, err := strategicpatch.NewPatchMetaFromStruct(obj)
	if err != nil {
		return nil, err
	}
	fields, _ := target.(map[string]any)
	if err := checkMergeKeys("", fields, changes, schema); err != nil {
		return nil, err
	}
	return strategicpatch.StrategicMergePatchUsingLookupPatchMeta(before, patch, schema)
}

// checkLists bounds the time to merge lists, which is the square of their lengths.
func checkLists(target, change any) error {
	longest := map[string]int{} // by the name of the field
	eachList("", target, func(field string, length int) {
		longest[field] = max(longest[field], length)
	})
	comparisons := 0
	eachList("", change, func(field string, length int) {
		n := length + longest[field]
		comparisons = min(comparisons+n*n, maxComparisons+1)
	})
	if comparisons > maxComparisons {
		return limit("the patch merges lists that are too long: it takes more than %d comparisons", maxComparisons)
	}
	return nil
}

// eachList calls f with the field and the length of each list in a value. A directive,
// such as $setElementOrder/ports, counts as the field that it is about.
func eachList(field string, value any, f func(field string, length int)) {
	switch v := value.(type) {
	case map[string]any:
		for name, element := range v {
			if name[:min(len(name), 1)] == "$" {
				_, name, _ = strings.Cut(name, "/")
			}
			eachList(name, element, f)
		}
	case *[]any:
		f(field, len(*v))
		for _, element := range *v {
			eachList(field, element, f)
		}
	}
}
