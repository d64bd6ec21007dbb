package controllertest

import (
	"encoding/json"
	"reflect"

	"github.com/homeostat/homeostat/pkg/store"
)

// parts are the parts of an object whose changes count if they were not written. A
// spec is not among them: reconcilers fill in defaults that they do not write.
var parts = []struct {
	name, call string
	path       []string
}{
	{"status", "tx.UpdateStatus", []string{"status"}},
	{"labels", "tx.Update", []string{"metadata", "labels"}},
	{"annotations", "tx.Update or tx.UpdateStatus", []string{"metadata", "annotations"}},
	{"finalizers", "tx.Update", []string{"metadata", "finalizers"}},
	{"ownerReferences", "tx.Update", []string{"metadata", "ownerReferences"}},
}

// observed is the object that a reconcile function was given, and what became of its
// copy; see working.Observer. It is empty for other reconcilers.
type observed struct {
	given store.Object
	left  []store.Object
}

// checkWritten fails the test if the function changed a part of its copy, and etcd has
// another value.
func (e *Env) checkWritten(controller string, o observed, after state) {
	e.t.Helper()
	stored := e.find(after, o.given)
	if stored == nil {
		return
	}
	given, now := e.fields(o.given), e.fields(stored)
	for _, obj := range o.left {
		left := e.fields(obj)
		for _, p := range parts {
			was, is, has := at(given, p.path), at(left, p.path), at(now, p.path)
			if !reflect.DeepEqual(was, is) && !reflect.DeepEqual(is, has) {
				e.t.Fatalf("controllertest: %q changed the %s of %T %s and did not write that: "+
					"call %s after the last change, or change only a copy.\nleft:   %s\nstored: %s",
					controller, p.name, obj, store.KeyOf(obj), p.call, text(is), text(has))
				return
			}
		}
	}
}

// fields returns an object as JSON has it, without empty fields.
func (e *Env) fields(obj store.Object) any {
	e.t.Helper()
	value, err := json.Marshal(obj)
	e.must(err)
	var fields any
	e.must(json.Unmarshal(value, &fields))
	return prune(fields)
}

// prune removes empty fields: whether a nil and an empty list differ is up to the Go
// type.
func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, field := range v {
			if field = prune(field); field == nil {
				delete(v, name)
			} else {
				v[name] = field
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	}
	return v
}

func at(fields any, path []string) any {
	for _, name := range path {
		object, _ := fields.(map[string]any)
		fields = object[name]
	}
	return fields
}

func text(v any) string {
	if v == nil {
		return "nothing"
	}
	value, _ := json.Marshal(v) // it came from JSON
	return string(value)
}
