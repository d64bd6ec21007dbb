package store

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// These are the selfLinks of partial objects. Kubernetes no longer uses that
// field and this store never writes it, but every copy of an object has it.
const (
	partialMark       = "homeostat:partial"
	partialMarkStatus = "homeostat:partial,status"
)

// PartialOptions say which parts of a partial object are complete.
type PartialOptions struct {
	// StatusComplete says that the status and the annotations are complete, so that
	// [Store.UpdateStatus] accepts the object. Defaults to false.
	StatusComplete bool
}

// MarkPartial marks an object that lacks a part of what is stored, for example
// because a cache stripped it to save memory. Copies keep the mark.
//
// Create and Update refuse a marked object, because they would delete what it
// lacks. So does UpdateStatus, unless [PartialOptions].StatusComplete is set.
// Deletions and conditions accept a marked object.
func MarkPartial(obj Object, o PartialOptions) {
	mark := partialMark
	if o.StatusComplete {
		mark = partialMarkStatus
	}
	obj.SetSelfLink(mark)
}

// IsPartial reports whether [MarkPartial] marked the object or the one that it was
// copied from.
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
	return apierrors.NewBadRequest("the object comes from a cache that keeps only a part of it; writing it would lose the rest: " +
		"change it with Mutate, or read it with Get first")
}
