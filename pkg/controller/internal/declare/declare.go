// Package declare computes what an object becomes when some of its fields are
// declared, for package controller's Apply. It works on the JSON of objects, and
// knows neither transactions nor etcd.
//
// It follows Kubernetes' server-side apply with one field manager: declared
// fields are set, fields that the declaration before had and this one lacks are
// removed, and all other fields stay. Maps are merged key by key; a list is
// declared as a whole. The declared fields are recorded in the object's
// managedFields.
package declare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// FieldManager names the managedFields entry that records the declared fields.
const FieldManager = "homeostat"

// fields is a set of fields in the format of metav1.FieldsV1: "f:<name>" maps to
// the fields below it. It maps to an empty set where a value is declared as a
// whole.
type fields = map[string]any

// Declaration is what an object declares: some of its fields, with their values.
type Declaration struct {
	values map[string]any
	record metav1.ManagedFieldsEntry
}

// Of returns what obj declares: each field in its JSON, except the status and
// except metadata other than labels and annotations. A null declares nothing.
func Of(obj metav1.Object, gvk schema.GroupVersionKind) (Declaration, error) {
	values, err := toMap(obj)
	if err != nil {
		return Declaration{}, err
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
	return Declaration{values, metav1.ManagedFieldsEntry{
		Manager: FieldManager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: gvk.GroupVersion().String(),
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(raw)),
	}}, err
}

// MergeInto applies the declaration to live and stores the result in into, an
// empty object of the same type. It does not change live. It fails when a declared
// value does not fit the type.
func (d Declaration) MergeInto(live, into metav1.Object) error {
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
		return fmt.Errorf("the declared fields do not fit the existing object: %w", err)
	}
	d.RecordIn(into)
	return nil
}

// RecordIn records the declared fields in the object's managedFields, in place of
// those of the declaration before.
func (d Declaration) RecordIn(obj metav1.Object) {
	entries := slices.DeleteFunc(slices.Clone(obj.GetManagedFields()), isRecord)
	obj.SetManagedFields(append(entries, d.record))
}

func isRecord(e metav1.ManagedFieldsEntry) bool {
	return e.Manager == FieldManager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == ""
}

// declaredBefore returns the fields that the last declaration recorded in an
// object. It returns nil when there is no record, or none that can be read.
func declaredBefore(obj metav1.Object) fields {
	i := slices.IndexFunc(obj.GetManagedFields(), isRecord)
	if i < 0 || obj.GetManagedFields()[i].FieldsV1 == nil {
		return nil
	}
	var before fields
	if err := json.Unmarshal(obj.GetManagedFields()[i].FieldsV1.GetRawBytes(), &before); err != nil {
		return nil
	}
	return before
}

// fieldsOf returns the names of all fields in values. A list counts as one field.
func fieldsOf(values map[string]any) fields {
	f := fields{}
	for k, v := range values {
		within, _ := v.(map[string]any)
		f["f:"+k] = fieldsOf(within)
	}
	return f
}

// remove deletes from values the fields that were declared before and are no
// longer declared.
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
		if !still && len(inner) == 0 { // a map that others have written to stays
			delete(values, k)
		}
	}
}

// set copies the declared fields into values.
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

// toMap returns the object's JSON as maps. Numbers stay as they are written, since
// a float64 does not hold every int64.
func toMap(obj metav1.Object) (map[string]any, error) {
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
