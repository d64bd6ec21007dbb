package controller

import (
	"reflect"
	"slices"
	"strings"

	"github.com/homeostat/homeostat/pkg/store"
)

// overlay has the objects that a Tx has written, as they will be after the commit:
// nil for one that will be gone. A Go type stands for its kind, since a store has at
// most one kind for a type.
type overlay map[overlayKey]store.Object

type overlayKey struct {
	kind reflect.Type
	key  store.Key
}

func keyOf(obj store.Object) overlayKey { return overlayKey{reflect.TypeOf(obj), store.KeyOf(obj)} }

// kindOf returns a key without a name, which stands for the object's kind.
func kindOf(obj store.Object) overlayKey { return overlayKey{kind: reflect.TypeOf(obj)} }

func (o *overlay) set(obj, now store.Object) {
	if obj == nil || obj.GetName() == "" {
		return // the store will report the error, or generate the name
	}
	if *o == nil {
		*o = overlay{}
	}
	(*o)[keyOf(obj)] = now
}

// put adds a created or updated object. An object that is being deleted and has lost
// its last finalizer will be gone.
func (o *overlay) put(obj store.Object) {
	if store.CompletesDeletion(obj) {
		o.set(obj, nil)
		return
	}
	o.set(obj, obj)
}

// lookup returns the written object of a key. exists is false if it will be gone, and
// written is false if the Tx has not written it.
func lookup[T store.Object](o overlay, key store.Key) (obj T, exists, written bool) {
	if len(o) == 0 {
		return obj, false, false
	}
	found, written := o[overlayKey{reflect.TypeFor[T](), key}]
	if found != nil {
		obj, exists = found.(T), true
	}
	return obj, exists, written
}

// ofKind returns the written objects of a kind that a function selects, in the order of
// their keys, and the keys of all written objects of the kind.
func ofKind[T store.Object](o overlay, selects func(T) bool) (objects []T, written map[store.Key]bool) {
	for k, obj := range o {
		if k.kind != reflect.TypeFor[T]() {
			continue
		}
		if written == nil {
			written = map[store.Key]bool{}
		}
		written[k.key] = true
		if obj != nil && selects(obj.(T)) {
			objects = append(objects, obj.(T))
		}
	}
	slices.SortFunc(objects, func(a, b T) int { return compareKeys(store.KeyOf(a), store.KeyOf(b)) })
	return objects, written
}

// compareKeys orders keys as etcd does, where a slash follows the namespace.
func compareKeys(a, b store.Key) int {
	if a.Namespace == b.Namespace {
		return strings.Compare(a.Name, b.Name)
	}
	return strings.Compare(a.Namespace+"/", b.Namespace+"/")
}
