package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DeleteOptions refine a deletion.
type DeleteOptions struct {
	// ResourceVersion, when set, must be the object's current one.
	ResourceVersion string
	// GracePeriodSeconds, when above 0, marks the object as being deleted and
	// leaves it to whoever looks after it to delete it for good, with 0, in at
	// most this many seconds.
	GracePeriodSeconds int64
	// Propagation says what becomes of the objects that have the deleted one as
	// their owner. It is a note to the garbage collector, without which nothing
	// becomes of them: Foreground keeps the object, marked and with the finalizer
	// [metav1.FinalizerDeleteDependents], until those that block its deletion are
	// gone; Orphan keeps it likewise, with [metav1.FinalizerOrphanDependents],
	// until they no longer refer to it; Background keeps it for neither. It takes
	// the place of what an earlier deletion said. Defaults to what the object's
	// finalizers say, and to Background where they say nothing.
	Propagation metav1.DeletionPropagation
}

// Delete deletes an object and returns the revision of the deletion. obj needs only
// type, namespace and name. If it has a uid, Delete deletes only the object with
// that uid, and not one that took its name later. The resourceVersion of obj is not
// a condition; [DeleteOptions] has one.
//
// Delete only marks an object with finalizers, by a deletionTimestamp. The update
// that removes the last finalizer completes the deletion. Marking an object again
// writes nothing.
//
// Delete returns a NotFound or a Conflict. It returns an [UndecodableError] for a
// value that does not decode, unless the options have the value's revision as
// ResourceVersion: then it removes the value, without regard to finalizers that it
// cannot read. If Delete succeeds, obj is the last state of the object, with the
// deletion's revision, or the marked object. obj is unchanged if the value did not
// decode.
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
		return effect{}, o.conflict("the object was deleted and created again: uid %s, not %s", prior.obj.GetUID(), uid)
	}
	obj := prior.obj.DeepCopyObject().(Object)
	if o.kind.validateDelete != nil {
		if err := o.kind.invalid(obj, o.kind.validateDelete(obj)); err != nil {
			return effect{}, err
		}
	}
	replaced := setPropagation(obj, o.del.Propagation)
	if len(obj.GetFinalizers()) == 0 && o.del.GracePeriodSeconds <= 0 {
		return effect{action: remove, result: obj}, nil
	}
	marked := s.markDeleted(obj, o.del.GracePeriodSeconds)
	switch {
	case deletionComplete(obj): // only finalizers that are gone now held it back
		return effect{action: remove, result: obj}, nil
	case !marked && !replaced:
		return effect{action: keep, result: obj}, nil
	}
	value, err := o.kind.encode(obj)
	return effect{action: put, value: value, result: obj}, err
}

// setPropagation has the object's finalizers say what becomes of its dependents,
// and nothing else about it. It reports whether anything changed.
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

// markDeleted marks an object as being deleted. A grace period can only be
// shortened. It reports whether anything changed.
func (s *Store) markDeleted(obj Object, grace int64) bool {
	grace = max(grace, 0)
	if old := obj.GetDeletionGracePeriodSeconds(); obj.GetDeletionTimestamp() != nil && (old == nil || *old <= grace) {
		return false
	}
	if obj.GetDeletionTimestamp() == nil && obj.GetGeneration() > 0 {
		obj.SetGeneration(obj.GetGeneration() + 1) // as Kubernetes does
	}
	at := timestamp(s.clock.Now().Add(time.Duration(grace) * time.Second))
	if old := obj.GetDeletionTimestamp(); old == nil || at.Before(old) {
		obj.SetDeletionTimestamp(&at)
	}
	obj.SetDeletionGracePeriodSeconds(&grace)
	return true
}
