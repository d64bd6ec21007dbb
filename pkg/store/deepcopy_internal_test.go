package store

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// FuzzDeepCopy checks, for objects made from arbitrary JSON, that a copy equals
// the original, and that changes to the copy do not change the original.
func FuzzDeepCopy(f *testing.F) {
	for _, seed := range []string{
		`{}`,
		`{"number":1,"float":1.5,"text":"x","flag":true,"bytes":"eA==","pointer":"x","twice":3,"inner":"x"}`,
		`{"list":[],"lists":[[],["x"],null],"array":["x",null],"map":{},"maps":{"a":null,"b":{"c":[1],"d":[]}},"byNumber":{"1":"x"}}`,
		`{"map":{"a":{"next":{"next":{"value":"x"}},"nodes":[{"value":"y"},{"nodes":[{}]}]},"b":null}}`,
		`{"node":{"next":{"nodes":[{"next":{"value":"x"}}]}},"tree":{"a":{"b":{"c":{}},"d":null}}}`,
		`{"time":"2030-01-01T00:00:00.5Z","stamp":"2030-01-01T00:00:00Z","quantity":{"cpu":"1500m","mem":"1Gi"},"port":"http"}`,
		`{"selector":{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"a","operator":"In","values":["b"]}]},"raw":{"a":[1]}}`,
		`{"pod":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","args":["x"],"ports":[{"containerPort":80}]}]}}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		original := &thing{}
		if json.Unmarshal([]byte(text), &original.Spec) != nil || json.Unmarshal([]byte(text), &original.Status) != nil {
			return
		}
		original.Labels, original.Finalizers = map[string]string{"a": "b"}, []string{"f"}
		original.Spec.hidden = 7
		before, err := json.Marshal(original)
		if err != nil {
			return
		}
		c := original.DeepCopy()
		if !reflect.DeepEqual(c, original) {
			t.Fatalf("the copy of %s differs: %+v", before, c)
		}
		shared(t, "", reflect.ValueOf(c).Elem(), reflect.ValueOf(original).Elem())
		scribble(reflect.ValueOf(c).Elem())
		if after, err := json.Marshal(original); err != nil || string(after) != string(before) {
			t.Fatalf("scribbling on the copy of %s has made the original %s, %v", before, after, err)
		}
	})
}

// shared fails the test if two values of the same type share memory.
func shared(t *testing.T, path string, a, b reflect.Value) {
	t.Helper()
	if a.Type() == reflect.TypeFor[*time.Location]() {
		return // never written to
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		empty := a.Kind() == reflect.Slice && a.Len() == 0
		if !a.IsNil() && !empty && a.Pointer() == b.Pointer() {
			t.Fatalf("%s is shared", path)
		}
	}
	switch a.Kind() {
	case reflect.Pointer:
		if !a.IsNil() {
			shared(t, path, a.Elem(), b.Elem())
		}
	case reflect.Map:
		for it := a.MapRange(); it.Next(); {
			shared(t, path+"[]", it.Value(), b.MapIndex(it.Key()))
		}
	case reflect.Slice, reflect.Array:
		for i := range a.Len() {
			shared(t, path+"[]", a.Index(i), b.Index(i))
		}
	case reflect.Struct:
		for i := range a.NumField() {
			shared(t, path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
		}
	}
}

// scribble changes everything that is reachable from a value.
func scribble(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			scribble(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			scribble(v.Index(i))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			scribble(it.Value())
		}
		v.Clear()
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				scribble(v.Field(i))
			}
		}
	}
	if v.CanSet() && v.Kind() != reflect.Struct {
		v.SetZero()
	}
}

func TestDeepCopyOfNil(t *testing.T) {
	var none *thing
	if none.DeepCopy() != nil || none.DeepCopyObject() != nil {
		t.Fatal("the copy of nil is not nil")
	}
}

func TestDeepCopyKeepsEmptyApartFromNil(t *testing.T) {
	c := (&thing{Spec: everything{List: []int{}, Map: map[string]*node{}}}).DeepCopy()
	if c.Spec.List == nil || c.Spec.Map == nil || c.Spec.Bytes != nil || c.Spec.Tree != nil {
		t.Fatalf("%+v", c.Spec)
	}
}

func TestDeepCopyDoesNotKeepSpareCapacity(t *testing.T) {
	list := make([]int, 1, 8)
	c := (&thing{Spec: everything{List: list}}).DeepCopy()
	_ = append(c.Spec.List, 5)
	if list[:2][1] != 0 {
		t.Fatal("appending to the copy writes into the original")
	}
}
