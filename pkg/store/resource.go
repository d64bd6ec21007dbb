package store

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/homeostat/homeostat/pkg/store/internal/deepcopy"
)

// Resource is a Kubernetes-style object: metadata, a Spec that users write, and
// a Status that controllers write. Use it to define a type of your own without
// generated code:
//
//	type Site = store.Resource[SiteSpec, SiteStatus]
//
// Spec and Status are structs of plain data: numbers, strings, booleans, and
// slices, maps, pointers and structs of those. They may contain types that have
// a DeepCopyInto method, such as those of k8s.io/api. [New] returns an error for
// a field that cannot be copied, such as a channel, a function, an interface or
// an unexported pointer.
//
// Two kinds with the same Spec and Status would be one Go type. Give one of them
// a struct of its own.
type Resource[Spec, Status any] struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   Spec   `json:"spec,omitempty"`
	Status Status `json:"status,omitempty"`
}

// DeepCopyInto makes out a deep copy of r.
func (r *Resource[Spec, Status]) DeepCopyInto(out *Resource[Spec, Status]) {
	out.TypeMeta = r.TypeMeta
	r.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	deepcopy.Into(&out.Spec, &r.Spec)
	deepcopy.Into(&out.Status, &r.Status)
}

// DeepCopy returns a deep copy of r, or nil if r is nil.
func (r *Resource[Spec, Status]) DeepCopy() *Resource[Spec, Status] {
	if r == nil {
		return nil
	}
	out := new(Resource[Spec, Status])
	r.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements runtime.Object.
func (r *Resource[Spec, Status]) DeepCopyObject() runtime.Object {
	if r == nil {
		return nil
	}
	return r.DeepCopy()
}

func (r *Resource[Spec, Status]) copyError() error {
	if err := deepcopy.Check(reflect.TypeFor[Spec]()); err != nil {
		return err
	}
	return deepcopy.Check(reflect.TypeFor[Status]())
}

// checkCopyable reports why a type cannot be copied. It trusts types with
// generated copies.
func checkCopyable(t reflect.Type) error {
	if c, ok := reflect.New(t).Interface().(interface{ copyError() error }); ok {
		return c.copyError()
	}
	return nil
}
