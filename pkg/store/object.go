package store

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// Object is what a store can hold: a pointer to a struct with Kubernetes' object
// metadata. Every type of k8s.io/api is an Object, and so is every [Resource].
type Object interface {
	metav1.Object
	runtime.Object
}

// Key names an object within its kind. The namespace of a cluster-scoped
// object is empty.
type Key = types.NamespacedName

// KeyOf returns the namespace and the name of an object as a [Key].
func KeyOf(obj metav1.Object) Key {
	return Key{Namespace: obj.GetNamespace(), Name: obj.GetName()}
}
