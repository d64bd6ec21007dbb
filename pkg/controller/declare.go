package controller

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/store"
)

// fieldManager is under whose name an object's managedFields tell which fields
// were declared of it.
const fieldManager = "homeostat"

// fields is a set of fields as metav1.FieldsV1 has it: "f:<name>" to the fields
// within, of which there are none where the value is to be taken as a whole.
type fields = map[string]any

// declaration is what an object says that another is to be.
type declaration struct {
	values map[string]any
	record metav1.ManagedFieldsEntry
}

// declarationOf takes what an object declares: all that its JSON shows, save for
// the status and for metadata other than labels and annotations. A null declares
// nothing.
func declarationOf(obj store.Object, gvk schema.GroupVersionKind) (declaration, error) {
	values, err := toMap(obj)
	if err != nil {
		return declaration{}, err
	}
	metadata, _ := values["metadata"].(map[string]any)
	maps.DeleteFunc(metadata, func(k string, _ any) bool { return k != "labels" && k != "annotations" })
	for _, k := range []string{"apiVersion", "kind", "status"} {
		delete(values, k)
	}
	dropNulls(values)
	if len(metadata) == 0 {
		delete(values, "metadata")
	}
	raw, err := json.Marshal(fieldsOf(values))
	return declaration{values, metav1.ManagedFieldsEntry{
		Manager: fieldManager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: gvk.GroupVersion().String(),
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(raw)),
	}}, err
}

// mergeInto makes an object what is declared of it. Declared fields are set;
// those that an earlier declaration had and this one has not are taken out; all
// others stay. The result goes into an empty object.
func (d declaration) mergeInto(live, into store.Object) error {
	values, err := toMap(live)
	if err != nil {
		return err
	}
	if before := declaredBefore(live); before != nil {
		remove(values, before, d.values)
	}
	set(values, d.values)
	merged, err := json.Marshal(values)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(merged, into); err != nil {
		return fmt.Errorf("what is declared does not fit what is there: %w", err)
	}
	d.recordIn(into)
	return nil
}

// recordIn notes down in an object which fields were declared of it.
func (d declaration) recordIn(obj store.Object) {
	entries := slices.DeleteFunc(slices.Clone(obj.GetManagedFields()), isRecord)
	obj.SetManagedFields(append(entries, d.record))
}

func isRecord(e metav1.ManagedFieldsEntry) bool {
	return e.Manager == fieldManager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == ""
}

// declaredBefore returns the fields that were declared of an object, or nil.
func declaredBefore(obj store.Object) fields {
	i := slices.IndexFunc(obj.GetManagedFields(), isRecord)
	if i < 0 || obj.GetManagedFields()[i].FieldsV1 == nil {
		return nil
	}
	var before fields
	if err := json.Unmarshal(obj.GetManagedFields()[i].FieldsV1.GetRawBytes(), &before); err != nil {
		return nil // somebody else has spoilt it: nothing is known
	}
	return before
}

// fieldsOf returns the fields of values. Lists are taken as a whole.
func fieldsOf(values map[string]any) fields {
	f := fields{}
	for k, v := range values {
		within, _ := v.(map[string]any)
		f["f:"+k] = fieldsOf(within)
	}
	return f
}

// remove takes out of values the fields that were declared before and are not
// declared any more.
func remove(values map[string]any, before fields, declared map[string]any) {
	for name, f := range before {
		k := name[min(len("f:"), len(name)):]
		v, there := values[k]
		if !there {
			continue
		}
		d, still := declared[k]
		within, _ := f.(fields)
		inner, isMap := v.(map[string]any)
		declaredInner, _ := d.(map[string]any)
		if isMap {
			remove(inner, within, declaredInner)
		}
		if !still && len(inner) == 0 { // or else others have written to it
			delete(values, k)
		}
	}
}

// set has values say what is declared.
func set(values, declared map[string]any) {
	for k, d := range declared {
		inner, isMap := values[k].(map[string]any)
		if within, nested := d.(map[string]any); nested && isMap {
			set(inner, within)
			continue
		}
		values[k] = d
	}
}

func dropNulls(values map[string]any) {
	maps.DeleteFunc(values, func(_ string, v any) bool {
		if within, nested := v.(map[string]any); nested {
			dropNulls(within)
		}
		return v == nil
	})
}

// toMap returns an object as its JSON shows it. Numbers stay as they are written:
// not all integers fit into a float64.
func toMap(obj store.Object) (map[string]any, error) {
	encoded, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	var values map[string]any
	err = decoder.Decode(&values)
	return values, err
}
