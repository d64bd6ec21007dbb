package apiserver

import (
	"fmt"
	"reflect"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/store"
)

// types knows the Go types of everything that the API sends and receives. For k8s.io/apiserver
// it takes the place of a runtime.Scheme. A scheme would need a Go type for each list and
// an internal version of each kind; the store has neither. It knows each version of a
// kind by a Go type of its own, and converts between versions itself.
//
// types does not change once it is made.
type types struct {
	store *store.Store
	// protocol has what is not stored: Status, Table, options, watch events, Scale.
	protocol *runtime.Scheme
	kinds    map[schema.GroupVersionKind]*kind
	lists    map[schema.GroupVersionKind]*kind // by the GroupVersionKind of the list
	// listTypes has the list types of client-go, which clients can ask for as protobuf.
	listTypes map[reflect.Type]schema.GroupVersionKind
}

var (
	_ runtime.ObjectTyper     = (*types)(nil)
	_ runtime.ObjectCreater   = (*types)(nil)
	_ runtime.ObjectConvertor = (*types)(nil)
	_ runtime.ObjectDefaulter = (*types)(nil)
)

func newTypes(s *store.Store) (*types, error) {
	t := &types{
		store: s, protocol: runtime.NewScheme(), kinds: map[schema.GroupVersionKind]*kind{},
		lists: map[schema.GroupVersionKind]*kind{}, listTypes: map[reflect.Type]schema.GroupVersionKind{},
	}
	metav1.AddToGroupVersion(t.protocol, schema.GroupVersion{Version: "v1"})
	if err := metainternalversion.AddToScheme(t.protocol); err != nil {
		return nil, err
	}
	if err := autoscalingv1.AddToScheme(t.protocol); err != nil {
		return nil, err
	}
	return t, nil
}

// add adds a kind of the store.
func (t *types) add(k *kind) {
	metav1.AddToGroupVersion(t.protocol, k.gvk.GroupVersion())
	t.kinds[k.gvk] = k
	k.listKind = k.gvk.GroupVersion().WithKind(k.gvk.Kind + "List")
	t.lists[k.listKind] = k
	_, k.protobuf = any(k.newObject()).(protoMarshaler)
	k.newList = func() runtime.Object { return &objectList{TypeMeta: typeMeta(k.listKind)} }
	if list, ok := typedList(k.gvk, reflect.TypeOf(k.newObject())); ok {
		t.listTypes[list] = k.listKind
		k.newList = func() runtime.Object {
			l := reflect.New(list).Interface().(runtime.Object)
			l.GetObjectKind().SetGroupVersionKind(k.listKind)
			return l
		}
	}
}

func typeMeta(gvk schema.GroupVersionKind) metav1.TypeMeta {
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	return metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}
}

// typedList returns client-go's list type for a kind, if it has one whose items have the
// type that the store has for the kind.
func typedList(gvk schema.GroupVersionKind, item reflect.Type) (reflect.Type, bool) {
	list, ok := scheme.Scheme.AllKnownTypes()[gvk.GroupVersion().WithKind(gvk.Kind+"List")]
	if !ok {
		return nil, false
	}
	items, ok := list.FieldByName("Items")
	return list, ok && items.Type.Kind() == reflect.Slice && reflect.PointerTo(items.Type.Elem()) == item
}

// New implements runtime.ObjectCreater.
func (t *types) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	if k := t.kinds[gvk]; k != nil {
		return k.newObject(), nil
	}
	if k := t.lists[gvk]; k != nil {
		return k.newList(), nil
	}
	return t.protocol.New(gvk)
}

// Recognizes implements runtime.ObjectTyper.
func (t *types) Recognizes(gvk schema.GroupVersionKind) bool {
	return t.kinds[gvk] != nil || t.lists[gvk] != nil || t.protocol.Recognizes(gvk)
}

// ObjectKinds implements runtime.ObjectTyper.
func (t *types) ObjectKinds(obj runtime.Object) ([]schema.GroupVersionKind, bool, error) {
	if gvk, ok := t.kindOf(obj); ok {
		return []schema.GroupVersionKind{gvk}, false, nil
	}
	return t.protocol.ObjectKinds(obj)
}

// kindOf returns the GroupVersionKind of an object or a list of the store's kinds.
func (t *types) kindOf(obj runtime.Object) (schema.GroupVersionKind, bool) {
	if l, ok := obj.(*objectList); ok {
		return l.GroupVersionKind(), true
	}
	if o, ok := obj.(store.Object); ok {
		if info, err := t.store.KindOf(o); err == nil {
			return info.GroupVersionKind, true
		}
		return schema.GroupVersionKind{}, false
	}
	gvk, ok := t.listTypes[reflect.TypeOf(obj).Elem()]
	return gvk, ok
}

// ConvertToVersion implements runtime.ObjectConvertor. It does not change obj, which may
// be shared. An object whose target is the internal version, which the store's kinds
// do not have, stays as it is.
func (t *types) ConvertToVersion(obj runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	if u, ok := obj.(*unstructured.Unstructured); ok && t.kinds[u.GroupVersionKind()] != nil {
		typed, err := t.typed(u)
		if err != nil {
			return nil, err
		}
		obj = typed
	}
	gvk, ok := t.kindOf(obj)
	if !ok {
		return t.convertProtocol(obj, target)
	}
	to, ok := target.KindForGroupVersionKinds([]schema.GroupVersionKind{gvk})
	if !ok {
		return nil, fmt.Errorf("%s cannot be converted to %s", gvk, target.Identifier())
	}
	if k := t.kinds[to]; k != nil && to != gvk {
		return k.access.Convert(obj.(store.Object))
	}
	return withKind(obj, gvk), nil
}

// convertProtocol converts what is not stored. Types that are the same in all versions,
// such as Status, stay as they are.
func (t *types) convertProtocol(obj runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	gvks, unversioned, err := t.protocol.ObjectKinds(obj)
	if err == nil && unversioned {
		return withKind(obj, gvks[0]), nil
	}
	return t.protocol.ConvertToVersion(obj, target)
}

// typed returns an object without a Go type as one of its kind. Server-side apply merges
// the former.
func (t *types) typed(u *unstructured.Unstructured) (runtime.Object, error) {
	data, err := u.MarshalJSON()
	if err != nil {
		return nil, err
	}
	obj := t.kinds[u.GroupVersionKind()].newObject()
	if _, err := store.UnmarshalStrict(data, obj); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return obj, nil
}

// withKind returns obj with its apiVersion and kind. If they are missing, it is a copy.
func withKind(obj runtime.Object, gvk schema.GroupVersionKind) runtime.Object {
	if obj.GetObjectKind().GroupVersionKind() == gvk {
		return obj
	}
	obj = shallow(obj)
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	return obj
}

// shallow copies the struct that obj points to.
func shallow(obj runtime.Object) runtime.Object {
	from := reflect.ValueOf(obj).Elem()
	to := reflect.New(from.Type())
	to.Elem().Set(from)
	return to.Interface().(runtime.Object)
}

// Convert implements runtime.ObjectConvertor.
func (t *types) Convert(in, out, context any) error { return t.protocol.Convert(in, out, context) }

// ConvertFieldLabel implements runtime.ObjectConvertor. The store decides later which
// fields a kind can be selected by.
func (t *types) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

// Default implements runtime.ObjectDefaulter. The store sets defaults when it writes.
func (t *types) Default(runtime.Object) {}

// VersionsForGroupKind implements endpoints.ConvertabilityChecker.
func (t *types) VersionsForGroupKind(gk schema.GroupKind) (versions []schema.GroupVersion) {
	for gvk := range t.kinds {
		if gvk.GroupKind() == gk {
			versions = append(versions, gvk.GroupVersion())
		}
	}
	return versions
}

// objectList is a list of objects of any kind.
type objectList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []runtime.Object `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (l *objectList) DeepCopyObject() runtime.Object {
	c := &objectList{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy(), Items: make([]runtime.Object, len(l.Items))}
	for i, item := range l.Items {
		c.Items[i] = item.DeepCopyObject()
	}
	return c
}

// protoMarshaler is implemented by the types that can be sent as protobuf.
type protoMarshaler interface{ Marshal() ([]byte, error) }

// Marshal encodes the list as protobuf, in the form of all list types of Kubernetes: field
// 1 is the metadata, and each item is a field 2. It returns an error if a type of the
// items has no such form.
func (l *objectList) Marshal() ([]byte, error) {
	metadata, err := l.ListMeta.Marshal()
	if err != nil {
		return nil, err
	}
	data := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), metadata)
	for _, item := range l.Items {
		m, ok := item.(protoMarshaler)
		if !ok {
			return nil, fmt.Errorf("%T has no protobuf form", item)
		}
		encoded, err := m.Marshal()
		if err != nil {
			return nil, err
		}
		data = protowire.AppendBytes(protowire.AppendTag(data, 2, protowire.BytesType), encoded)
	}
	return data, nil
}

// setItems puts objects into a list that newList has made.
func setItems(list runtime.Object, items []store.Object) {
	if l, ok := list.(*objectList); ok {
		l.Items = make([]runtime.Object, len(items))
		for i, item := range items {
			l.Items[i] = item
		}
		return
	}
	field := reflect.ValueOf(list).Elem().FieldByName("Items")
	slice := reflect.MakeSlice(field.Type(), len(items), len(items))
	for i, item := range items {
		slice.Index(i).Set(reflect.ValueOf(item).Elem())
	}
	field.Set(slice)
}

// singular is the name of a kind in the singular, as in "deployment".
func singular(gvk schema.GroupVersionKind) string { return strings.ToLower(gvk.Kind) }
