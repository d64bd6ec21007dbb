package apiserver

import (
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/store"
)

// AnyKind is a [Kind] of any type. Only this package implements it.
type AnyKind interface {
	// look returns the kind of the type in a store, and what the Kind says of it.
	look(s *store.Store) (schema.GroupVersionKind, look, error)
}

// Kind says how the objects of type T are shown and named. All fields are optional. Kinds
// of the store that are not in [Options].Kinds are served too.
type Kind[T store.Object] struct {
	// ShortNames are further names of the resource for kubectl, such as "deploy".
	// Defaults to those that Kubernetes has for its own kinds, and to none for others.
	ShortNames []string
	// Categories are groups of resources that kubectl can ask for at once, such as "all".
	// Defaults to those that Kubernetes has for its own kinds, and to none for others.
	Categories []string
	// Columns are what kubectl get prints after the name. Defaults to those that kubectl
	// users know for Kubernetes' own kinds. For others it defaults to the replicas and
	// the conditions that the type has, and the age.
	Columns []Column[T]
	// Scale makes the kind scalable. Defaults to nothing, except for Kubernetes' own
	// kinds that can be scaled.
	Scale *Scale
}

// Column is a column of kubectl get.
type Column[T store.Object] struct {
	// Name is the heading. Required.
	Name string
	// Value returns what to print of an object: a string, a number, a boolean, or a
	// metav1.Time, which is printed as an age. It must be fast and must not change the
	// object. Required.
	Value func(obj T) any
	// Wide says that the column is shown only with -o wide.
	Wide bool
	// Description says what the column means.
	Description string
}

// Scale names the fields of a kind's scale subresource, as the paths of JSON fields.
type Scale struct {
	// Replicas is the desired number, such as "spec.replicas". Required.
	Replicas string
	// StatusReplicas is the present number, such as "status.replicas". Required.
	StatusReplicas string
	// Selector is the field of the status or the spec that selects what is counted: a
	// string, or a label selector. Defaults to none.
	Selector string
}

// look is how a kind is named and shown.
type look struct {
	shortNames, categories []string
	columns                []column
	scale                  *Scale
}

// column is a Column of any type.
type column struct {
	name, description string
	wide              bool
	value             func(obj store.Object) any
}

func (k Kind[T]) look(s *store.Store) (schema.GroupVersionKind, look, error) {
	info, err := store.KindOf[T](s)
	if err != nil {
		return schema.GroupVersionKind{}, look{}, err
	}
	l := look{shortNames: k.ShortNames, categories: k.Categories, scale: k.Scale}
	for _, c := range k.Columns {
		if c.Name == "" || c.Value == nil {
			return schema.GroupVersionKind{}, look{}, fmt.Errorf("kind %s: a column needs a Name and a Value", info.GroupVersionKind.Kind)
		}
		l.columns = append(l.columns, column{c.Name, c.Description, c.Wide, func(obj store.Object) any { return c.Value(obj.(T)) }})
	}
	return info.GroupVersionKind, l, nil
}

// kind is one version of a kind that the API serves.
type kind struct {
	gvk        schema.GroupVersionKind
	listKind   schema.GroupVersionKind
	resource   schema.GroupResource
	namespaced bool
	access     store.DynamicKind
	look       look
	goType     reflect.Type // a struct

	newList  func() runtime.Object
	protobuf bool // the type has a protobuf form
}

func newKind(s *store.Store, info store.KindInfo, l look) (*kind, error) {
	access, err := s.Dynamic(info.GroupVersionKind)
	if err != nil {
		return nil, err
	}
	obj, _ := s.NewObject(info.GroupVersionKind)
	return &kind{
		gvk: info.GroupVersionKind, resource: info.Resource, namespaced: !info.ClusterScoped,
		access: access, look: l, goType: reflect.TypeOf(obj).Elem(),
	}, nil
}

func (k *kind) newObject() store.Object {
	obj := reflect.New(k.goType).Interface().(store.Object)
	obj.GetObjectKind().SetGroupVersionKind(k.gvk)
	return obj
}

// has reports whether the type has a field of a JSON name, such as "status".
func (k *kind) has(field string) bool {
	for i := range k.goType.NumField() {
		if name, _, _ := strings.Cut(k.goType.Field(i).Tag.Get("json"), ","); name == field {
			return true
		}
	}
	return false
}
