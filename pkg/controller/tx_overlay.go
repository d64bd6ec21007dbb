package controller

import (
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	if obj.GetDeletionTimestamp() != nil && len(obj.GetFinalizers()) == 0 && grace(obj) == 0 {
		o.set(obj, nil)
		return
	}
	o.set(obj, obj)
}

// delete adds a deletion. If finalizers, a grace period or the propagation delay it,
// the object stays and gets a deletionTimestamp.
func (o *overlay) delete(obj store.Object, opts store.DeleteOptions, now time.Time) {
	graceSeconds := opts.GracePeriodSeconds
	waits := opts.Propagation == metav1.DeletePropagationForeground || opts.Propagation == metav1.DeletePropagationOrphan
	if len(obj.GetFinalizers()) == 0 && graceSeconds <= 0 && !waits {
		o.set(obj, nil)
		return
	}
	marked := obj.DeepCopyObject().(store.Object)
	if marked.GetDeletionTimestamp() == nil {
		at := metav1.NewTime(now.Add(time.Duration(graceSeconds) * time.Second)).Rfc3339Copy()
		marked.SetDeletionTimestamp(&at)
	}
	marked.SetDeletionGracePeriodSeconds(&graceSeconds)
	o.set(obj, marked)
}

func grace(obj store.Object) int64 {
	if seconds := obj.GetDeletionGracePeriodSeconds(); seconds != nil {
		return *seconds
	}
	return 0
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

// selected returns the written objects of a kind that a function selects, in the order
// of their keys.
func selected[T store.Object](o overlay, selects func(T) bool) []T {
	var objects []T
	for k, written := range o {
		if k.kind != reflect.TypeFor[T]() || written == nil {
			continue
		}
		if obj := written.(T); selects(obj) {
			objects = append(objects, obj)
		}
	}
	slices.SortFunc(objects, func(a, b T) int { return compareKeys(store.KeyOf(a), store.KeyOf(b)) })
	return objects
}

// compareKeys orders keys as etcd does, where a slash follows the namespace.
func compareKeys(a, b store.Key) int {
	if a.Namespace == b.Namespace {
		return strings.Compare(a.Name, b.Name)
	}
	return strings.Compare(a.Namespace+"/", b.Namespace+"/")
}
