package store

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What stands in the selfLink of a partial object. Kubernetes gave up that field,
// and this store never writes it, but it goes wherever the object's copies go.
const (
	partialMark       = "homeostat:partial"
	partialMarkStatus = "homeostat:partial,status"
)

// MarkPartial marks an object as one that lacks something of what is stored,
// such as one that a cache has stripped to save memory. The mark is kept by
// copies. Creations and updates refuse a marked object, since they would lose what
// it lacks; so does UpdateStatus unless withStatus says that status and
// annotations are whole. A deletion takes it, and a condition.
func MarkPartial(obj Object, withStatus bool) {
	mark := partialMark
	if withStatus {
		mark = partialMarkStatus
	}
	obj.SetSelfLink(mark)
}

// IsPartial reports whether an object has the mark of [MarkPartial].
func IsPartial(obj metav1.Object) bool {
	mark := obj.GetSelfLink()
	return mark == partialMark || mark == partialMarkStatus
}

// checkWhole refuses to write what a partial object lacks.
func (o *op) checkWhole() error {
	_, create := o.verb.(createVerb)
	if !IsPartial(o.obj) || !create && o.main == nil && o.obj.GetSelfLink() == partialMarkStatus {
		return nil
	}
	return apierrors.NewBadRequest("the object comes from a cache that keeps only a part of it, and writing it would lose the rest: " +
		"change it with Mutate, or read it with Get first")
}
