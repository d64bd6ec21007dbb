package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/homeostat/homeostat/pkg/store/internal/fault"
)

// part is a part of a kind's objects to which the rules for updates apply separately: a
// field of the object, such as the spec, or of its metadata.
type part struct {
	path  string // as in errors of validation: "spec", "metadata.labels"
	index []int
}

// partsOf returns the parts of a type.
func partsOf(t reflect.Type) (parts []part) {
	var add func(prefix string, index []int, t reflect.Type)
	add = func(prefix string, index []int, t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			at := append(slices.Clone(index), i)
			switch {
			case !f.IsExported(), name == "-", f.Type == reflect.TypeFor[metav1.TypeMeta](), prefix != "" && name == "resourceVersion":
			case f.Type == reflect.TypeFor[metav1.ObjectMeta]():
				add("metadata.", at, f.Type)
			case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
				add(prefix, at, f.Type)
			case name == "":
				parts = append(parts, part{prefix + f.Name, at})
			default:
				parts = append(parts, part{prefix + name, at})
			}
		}
	}
	add("", nil, t)
	return parts
}

// change says which parts of an object an update changes.
type change struct {
	parts   []part
	changed []bool
}

// changeOf compares two objects. statusOnly says that they differ at most in what
// [Store.UpdateStatus] writes.
func (k *kindInfo) changeOf(obj, old Object, statusOnly bool) (change, error) {
	c := change{k.parts, make([]bool, len(k.parts))}
	for i, p := range k.parts {
		if statusOnly && p.path != "status" && p.path != "metadata.annotations" && p.path != "metadata.managedFields" {
			continue
		}
		var err error
		if c.changed[i], err = k.fieldChanged(p.index, obj, old); err != nil {
			return change{}, err
		}
	}
	return c, nil
}

func (c change) any() bool { return slices.Contains(c.changed, true) }

// of reports whether the update changes the part that the path of a field belongs to. A
// path that belongs to none is taken for one of the spec.
func (c change) of(path string) bool {
	for i, p := range c.parts {
		if rest, ok := strings.CutPrefix(path, p.path); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return c.changed[i]
		}
	}
	for i, p := range c.parts {
		inMetadata := strings.HasPrefix(p.path, "metadata.")
		if c.changed[i] && p.path != "status" && inMetadata == strings.HasPrefix(path, "metadata") {
			return true
		}
	}
	return false
}

// applyRules applies the rules for an update to obj, which replaces old, and reports
// whether it changes anything. Only the parts that it changes are defaulted and
// validated: what is stored may be older than today's rules, and must not lock the
// object. The hooks of the kind see both objects with all defaults. The review that it
// returns is still to be done; it may be nil.
func (k *kindInfo) applyRules(obj, old Object, statusOnly bool) (changed bool, r *review, err error) {
	c, err := k.changeOf(obj, old, statusOnly)
	if err != nil || !c.any() {
		return false, nil, err
	}
	whole, wholeOld := obj, old
	if k.defaults != nil {
		whole, wholeOld = obj.DeepCopyObject().(Object), old.DeepCopyObject().(Object)
		k.defaults(whole)
		k.defaults(wholeOld)
		if err := k.takeDefaults(&c, obj, old, whole); err != nil || !c.any() {
			return false, nil, err
		}
	}
	newSpec := c.hasSpec(k)
	if newSpec && k.defaults != nil { // to write out what is the default is no new spec
		if newSpec, err = k.fieldChanged(k.spec, whole, wholeOld); err != nil {
			return false, nil, err
		}
	}
	if newSpec {
		obj.SetGeneration(nextGeneration(old))
		whole.SetGeneration(obj.GetGeneration())
	}
	return true, k.reviewOf(whole, wholeOld, &c), k.checkUpdate(whole, wholeOld, c)
}

// takeDefaults sets the defaults, which whole has, in the parts of obj that the update
// changes. A part that differs from old's only by defaults that it lacks is unchanged.
func (k *kindInfo) takeDefaults(c *change, obj, old, whole Object) error {
	for i, p := range c.parts {
		if !c.changed[i] {
			continue
		}
		k.copyField(p.index, obj, whole)
		var err error
		if c.changed[i], err = k.fieldChanged(p.index, obj, old); err != nil {
			return err
		}
	}
	return nil
}

// hasSpec reports whether the update changes the spec.
func (c change) hasSpec(k *kindInfo) bool {
	i := slices.IndexFunc(c.parts, func(p part) bool { return slices.Equal(p.index, k.spec) })
	return i >= 0 && c.changed[i]
}

// fieldChanged compares the stored form of a field, which the kind may lack. What JSON
// does not show, such as an unexported field or nanoseconds, is no change.
func (k *kindInfo) fieldChanged(index []int, obj, old Object) (bool, error) {
	if index == nil {
		return false, nil
	}
	is, was := k.fieldOf(index, obj), k.fieldOf(index, old)
	if reflect.DeepEqual(is, was) {
		return false, nil
	}
	a, err := marshal(is)
	if err != nil {
		return false, fmt.Errorf("encode %s %s: %w", k.gvk.Kind, KeyOf(obj), k.codec.hide(err))
	}
	b, err := marshal(was)
	if err != nil {
		return false, fmt.Errorf("encode the old %s %s: %w", k.gvk.Kind, KeyOf(obj), k.codec.hide(err))
	}
	return !bytes.Equal(a, b), nil
}

// marshal returns a panic as an error.
func marshal(value any) (data []byte, err error) {
	defer fault.Recover("encoding", &err)
	return json.Marshal(value)
}

// concerns returns the errors that are about what an update changes. Removing a
// finalizer from an object that is being deleted is always valid.
func (c change) concerns(obj, old Object, errs field.ErrorList) field.ErrorList {
	return slices.DeleteFunc(errs, func(err *field.Error) bool {
		if old.GetDeletionTimestamp() != nil && strings.HasPrefix(err.Field, "metadata.finalizers") && isSubset(obj.GetFinalizers(), old.GetFinalizers()) {
			return true
		}
		return !c.of(err.Field)
	})
}

func isSubset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// nextGeneration returns the generation of an object whose spec changes. It begins again
// at 1 after the highest number, and after a negative one that another program wrote.
func nextGeneration(old Object) int64 {
	if generation := old.GetGeneration(); generation >= 0 && generation < math.MaxInt64 {
		return generation + 1
	}
	return 1
}
