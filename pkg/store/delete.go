package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DeleteOptions configure a deletion. The zero value deletes an object at once, unless
// it has finalizers.
type DeleteOptions struct {
	// ResourceVersion is a condition: if the stored object has another one, the
	// deletion is a Conflict. Defaults to any, as does "0".
	ResourceVersion string
	// GracePeriodSeconds gives the controller that manages the object time to finish.
	// If it is above 0, the deletion only marks the object as being deleted. The
	// controller deletes the object again with 0 when it has finished or the time is
	// over: the store never does that by itself. A later deletion can only shorten the
	// period. A negative period counts as 0, and one of more than 100 years as 100
	// years. Defaults to 0.
	GracePeriodSeconds int64
	// Propagation tells the garbage collector what to do with the dependents, the
	// objects that have the deleted one as an owner:
	//
	//   - Background deletes the object at once, and its dependents afterwards.
	//   - Foreground keeps the object, marked as being deleted, until the dependents
	//     that block its deletion are gone.
	//   - Orphan keeps the object, marked as being deleted, until no dependent refers
	//     to it. The dependents stay.
	//
	// Foreground and Orphan add [metav1.FinalizerDeleteDependents] or
	// [metav1.FinalizerOrphanDependents], which only a garbage collector removes; see
	// package garbagecollector. Propagation replaces that of an earlier deletion.
	// Defaults to what the object's finalizers say, or else to Background.
	Propagation metav1.DeletionPropagation
}

// Delete deletes an object and returns the revision of the deletion. obj needs only
// type, namespace and name. If it has a uid, Delete deletes only the object with
// that uid, and not one that took its name later. The resourceVersion of obj is not
// a condition; [DeleteOptions] has one.
//
// If the object has finalizers, Delete only marks it with a deletionTimestamp. The
// update that removes the last finalizer completes the deletion. Deleting a marked
// object again writes nothing.
//
// Delete returns a NotFound or a Conflict. It returns an [UndecodableError] for a
// value that does not decode, unless the options have the value's revision as
// ResourceVersion. Delete then removes the value, whether or not it has finalizers.
//
// On success, obj is the last state of the object, with the revision of the deletion
// as its resourceVersion, or it is the marked object. If Delete fails or has removed
// a value that does not decode, obj is unchanged.
func (s *Store) Delete(ctx context.Context, obj Object, o DeleteOptions) (int64, error) {
	t := s.Txn()
	t.Delete(obj, o)
	return t.Commit(ctx)
}

type deleteVerb struct{}

func (deleteVerb) String() string { return "delete" }

// deletesValue reports whether a deletion names the revision of a value, and so may
// remove it even if it does not decode. A uid could not be compared then.
func (o *op) deletesValue(revision int64) bool {
	_, deletes := o.verb.(deleteVerb)
	return deletes && o.obj.GetUID() == "" && o.del.ResourceVersion == FormatRevision(revision)
}

func (deleteVerb) prepare(o *op) error {
	o.rev = 0
	switch o.del.Propagation {
	case "", metav1.DeletePropagationBackground, metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan:
		return nil
	}
	return apierrors.NewBadRequest(fmt.Sprintf("propagation %q: want Background, Foreground or Orphan", o.del.Propagation))
}

func (deleteVerb) plan(s *Store, o *op, prior *stored) (effect, error) {
	rev, err := ParseRevision(o.del.ResourceVersion)
	if err != nil {
		return effect{}, apierrors.NewBadRequest(err.Error())
	}
	o.rev = rev
	if err := o.current(prior); err != nil {
		return effect{}, err
	}
	if prior.obj == nil { // the value does not decode
		return effect{action: remove}, nil
	}
	if uid := o.obj.GetUID(); uid != "" && uid != prior.obj.GetUID() {
		return effect{}, o.conflict("the object was deleted and created again: it does not have the uid %s", uid)
	}
	obj := prior.obj.DeepCopyObject().(Object)
	if o.kind.validateDelete != nil {
		if err := o.kind.invalid(obj, o.kind.validateDelete(obj)); err != nil {
			return effect{}, err
		}
	}
	var review *review
	if prior.obj.GetDeletionTimestamp() == nil {
		review = o.kind.reviewOf(nil, obj.DeepCopyObject().(Object), nil)
	}
	removed, changed := s.applyDelete(obj, o.del)
	switch {
	case removed:
		return effect{action: remove, result: obj, review: review}, nil
	case !changed:
		return effect{action: keep, result: obj}, nil
	}
	value, err := o.kind.encodeOver(obj, prior)
	return effect{action: put, value: value, result: obj, review: review}, err
}

// applyDelete makes obj what a deletion leaves. It reports whether the deletion removes
// the object, and else whether it changes it.
func (s *Store) applyDelete(obj Object, o DeleteOptions) (removed, changed bool) {
	changed = setPropagation(obj, o.Propagation)
	if len(obj.GetFinalizers()) == 0 && o.GracePeriodSeconds <= 0 {
		return true, true
	}
	changed = s.markDeleted(obj, o.GracePeriodSeconds) || changed
	return CompletesDeletion(obj), changed // only finalizers that are gone now held it back
}

// AfterDelete returns an object as [Store.Delete] would leave it, or nil if Delete would
// remove it. It sends nothing, does not change obj, and asks no rules of the kind.
func (s *Store) AfterDelete(obj Object, o DeleteOptions) Object {
	left := obj.DeepCopyObject().(Object)
	if removed, _ := s.applyDelete(left, o); removed {
		return nil
	}
	return left
}

// CompletesDeletion reports whether an update to obj would remove the object: it is
// marked as being deleted, and nothing holds it back.
func CompletesDeletion(obj Object) bool {
	grace := obj.GetDeletionGracePeriodSeconds()
	return obj.GetDeletionTimestamp() != nil && len(obj.GetFinalizers()) == 0 && (grace == nil || *grace <= 0)
}

// setPropagation sets the finalizer of a propagation, and removes that of any other.
// It reports whether anything changed.
func setPropagation(obj Object, policy metav1.DeletionPropagation) bool {
	var own string
	switch policy {
	case "":
		return false
	case metav1.DeletePropagationForeground:
		own = metav1.FinalizerDeleteDependents
	case metav1.DeletePropagationOrphan:
		own = metav1.FinalizerOrphanDependents
	}
	old := obj.GetFinalizers()
	finalizers := slices.DeleteFunc(slices.Clone(old), func(f string) bool {
		return f != own && (f == metav1.FinalizerDeleteDependents || f == metav1.FinalizerOrphanDependents)
	})
	if own != "" && !slices.Contains(finalizers, own) {
		finalizers = append(finalizers, own)
	}
	if slices.Equal(finalizers, old) {
		return false
	}
	obj.SetFinalizers(finalizers)
	return true
}

// maxGraceSeconds is 100 years. A much longer time would overflow a time.Duration, or end
// in a year that has no form in JSON.
const maxGraceSeconds = 100 * 365 * 24 * 60 * 60

// markDeleted marks an object as being deleted. A grace period can only be
// shortened. It reports whether anything changed.
func (s *Store) markDeleted(obj Object, seconds int64) bool {
	seconds = min(max(seconds, 0), maxGraceSeconds)
	if old := obj.GetDeletionGracePeriodSeconds(); obj.GetDeletionTimestamp() != nil && (old == nil || *old <= seconds) {
		return false
	}
	if obj.GetDeletionTimestamp() == nil && obj.GetGeneration() > 0 {
		obj.SetGeneration(nextGeneration(obj)) // as Kubernetes does
	}
	at := timestamp(s.clock.Now().Add(time.Duration(seconds) * time.Second))
	if old := obj.GetDeletionTimestamp(); old == nil || at.Before(old) {
		obj.SetDeletionTimestamp(&at)
	}
	obj.SetDeletionGracePeriodSeconds(&seconds)
	return true
}
