package store

import (
	"fmt"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/store/internal/fault"
)

// Version is a further version V of a kind that is stored as S. There must be a [Kind]
// or a type of the scheme for S. V and S are pointer types. Every function of the
// package accepts both, and the store also reads values that were stored as V.
//
// To and From receive objects whose metadata is already set, and copy the rest. A
// conversion to the other type and back must lose nothing, because an update through V
// writes all of S. If one type lacks a field of the other, keep its value in an
// annotation. A value with fields that its version's type lacks stays in that version.
// To and From must not block, keep or change their argument, or share memory with it.
// Defaults and validation are those of S.
type Version[V, S Object] struct {
	// GroupVersionKind is V's. It has the group and the kind of S. Required.
	GroupVersionKind schema.GroupVersionKind
	// To converts to the stored version, and From converts from it. Required.
	To   func(from V, to S) error
	From func(from S, to V) error
}

func (v Version[V, S]) info(*runtime.Scheme) (*kindInfo, error) {
	t, err := structOf[V]()
	if err != nil {
		return nil, err
	}
	storage, err := structOf[S]()
	if err != nil {
		return nil, err
	}
	switch {
	case v.GroupVersionKind.Version == "" || v.GroupVersionKind.Kind == "":
		return nil, fmt.Errorf("version %s: set GroupVersionKind", t)
	case v.To == nil || v.From == nil:
		return nil, fmt.Errorf("version %s: set To and From", v.GroupVersionKind)
	}
	info, err := newKindInfo(v.GroupVersionKind, t)
	if err != nil {
		return nil, err
	}
	info.storedAs = storage
	info.toStored = func(from, to Object) error { return v.To(from.(V), to.(S)) }
	info.fromStored = func(from, to Object) error { return v.From(from.(S), to.(V)) }
	return info, nil
}

func structOf[T Object]() (reflect.Type, error) {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("kind of %s: the type parameter must be a pointer to a struct", t)
	}
	if f, ok := t.Elem().FieldByName("ObjectMeta"); !ok || f.Type != reflect.TypeFor[metav1.ObjectMeta]() {
		return nil, fmt.Errorf("kind of %s: a type with several versions must embed metav1.ObjectMeta", t)
	}
	return t.Elem(), nil
}

// linkVersions links further versions with the kinds that they are stored as.
func (ks *kinds) linkVersions() error {
	for _, k := range ks.byType {
		if k.storedAs == nil {
			continue
		}
		k.stored = ks.byType[k.storedAs]
		switch {
		case k.stored == nil:
			return fmt.Errorf("version %s: there is no kind with the type %s", k.gvk, k.storedAs)
		case k.stored.storedAs != nil:
			return fmt.Errorf("version %s: %s is itself stored as another version", k.gvk, k.stored.gvk)
		case k.stored.gvk.GroupKind() != k.gvk.GroupKind():
			return fmt.Errorf("version %s: group and kind differ from those of %s", k.gvk, k.stored.gvk)
		}
		k.resource, k.clusterScoped = k.stored.resource, k.stored.clusterScoped
		k.stored.versions = append(k.stored.versions, k)
	}
	return nil
}

// storage returns the kind that this kind is stored as.
func (k *kindInfo) storage() *kindInfo {
	if k.stored != nil {
		return k.stored
	}
	return k
}

// version returns the version of this kind with a GroupVersionKind, or nil.
func (k *kindInfo) version(gvk schema.GroupVersionKind) *kindInfo {
	s := k.storage()
	if s.gvk == gvk {
		return s
	}
	for _, v := range s.versions {
		if v.gvk == gvk {
			return v
		}
	}
	return nil
}

// convert converts an object to another version. It returns the object itself if the
// versions are the same.
func convert(obj Object, from, to *kindInfo) (Object, error) {
	if from.stored != nil && from != to {
		var err error
		if obj, err = convertBy(from.toStored, obj, from, from.stored); err != nil {
			return nil, err
		}
		from = from.stored
	}
	if from == to {
		return obj, nil
	}
	return convertBy(to.fromStored, obj, from, to)
}

func convertBy(by func(from, to Object) error, obj Object, from, to *kindInfo) (_ Object, err error) {
	doing := fmt.Sprintf("convert from %s to %s", from.gvk, to.gvk)
	defer func() {
		if err != nil {
			err = to.codec.hide(&fault.Error{Fault: doing + ": " + fault.Of(err), Err: fmt.Errorf("%s: %w", doing, err)})
		}
	}()
	defer fault.Recover("conversion", &err)
	result := to.newObject()
	source := obj.DeepCopyObject().(Object)
	metaOf(result).Set(metaOf(source))
	if err := by(source, result); err != nil {
		return nil, err
	}
	result.GetObjectKind().SetGroupVersionKind(to.gvk)
	return result, nil
}

func metaOf(obj Object) reflect.Value { return reflect.ValueOf(obj).Elem().FieldByName("ObjectMeta") }
