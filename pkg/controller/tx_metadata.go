package controller

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/homeostat/homeostat/pkg/store"
)

// AddFinalizer adds a finalizer to obj, a copy of an object that was read, and
// updates it. It reports whether it did so. It does nothing if the object has the
// finalizer, or if it is being deleted, which is too late.
//
// If the finalizer is there to clean up something outside etcd, do not create that
// before the finalizer is committed: return when AddFinalizer reports true, and create
// it in the reconcile that follows. After AddFinalizer for the reconciled object, there
// is always one that follows, even if no filter of the controller lets the change pass.
func (tx *Tx) AddFinalizer(obj store.Object, name string) bool {
	if obj.GetDeletionTimestamp() != nil || slices.Contains(obj.GetFinalizers(), name) {
		return false
	}
	obj.SetFinalizers(append(slices.Clone(obj.GetFinalizers()), name))
	tx.Update(obj)
	tx.addedFinalizer = tx.addedFinalizer || keyOf(obj) == keyOf(tx.object)
	return true
}

// RemoveFinalizer removes a finalizer from obj, a copy of an object that was read,
// and updates it. It reports whether the object had the finalizer. An object that is
// being deleted is gone after the commit if the finalizer was its last.
func (tx *Tx) RemoveFinalizer(obj store.Object, name string) bool {
	if !slices.Contains(obj.GetFinalizers(), name) {
		return false
	}
	obj.SetFinalizers(slices.DeleteFunc(slices.Clone(obj.GetFinalizers()), func(f string) bool { return f == name }))
	tx.Update(obj)
	return true
}

// SetCondition sets the condition of c's type in obj's status, and updates the status.
// It reports whether it did so. It does nothing if the condition is equal to c
// already. obj is a copy of an object that was read, and conditions points into its
// status:
//
//	tx.SetCondition(site, &site.Status.Conditions, metav1.Condition{
//		Type: "Ready", Status: metav1.ConditionTrue, Reason: "AllReplicasReady"})
//
// The condition's observedGeneration defaults to the object's generation, and its
// lastTransitionTime to now. The latter changes only if the condition's status does.
func (tx *Tx) SetCondition(obj store.Object, conditions *[]metav1.Condition, c metav1.Condition) bool {
	if c.ObservedGeneration == 0 {
		c.ObservedGeneration = obj.GetGeneration()
	}
	if c.LastTransitionTime.IsZero() {
		c.LastTransitionTime = metav1.NewTime(tx.manager.settings().Clock.Now().Truncate(time.Second))
	}
	if !meta.SetStatusCondition(conditions, c) {
		return false
	}
	tx.UpdateStatus(obj)
	return true
}

// EventRecorder records Events about objects, for [ManagerOptions].Events.
// [events.Recorder] is one.
//
// [events.Recorder]: https://pkg.go.dev/github.com/homeostat/homeostat/pkg/events#Recorder
type EventRecorder interface {
	Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any)
}

// Eventf records an Event with the manager's recorder (see [ManagerOptions].Events)
// once the Tx is committed. If it is not committed, no Event is recorded. The note is
// formatted at once. regarding and related may be objects that the Tx creates: they
// are read after the commit. related may be nil. Whether they may be references to
// objects is up to the recorder; that of package events accepts them.
func (tx *Tx) Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any) {
	recorder := tx.manager.settings().Events
	if recorder == nil || tx.committed && tx.commitErr != nil {
		return
	}
	note = fmt.Sprintf(note, args...)
	tx.events = append(tx.events, func() { recorder.Eventf(regarding, related, eventType, reason, action, "%s", note) })
	if tx.committed {
		tx.recordEvents()
	}
}

func (tx *Tx) recordEvents() {
	for _, record := range tx.events {
		record()
	}
	tx.events = nil
}
