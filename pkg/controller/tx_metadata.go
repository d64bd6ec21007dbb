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

// AddFinalizer adds a finalizer to an object, which is a copy of what was read
// and which it changes, and has the Tx update it. It reports whether it did so:
// not when the object has the finalizer, or is being deleted, which is too late.
//
// Whatever outside of etcd the finalizer is to undo must not be done before the
// finalizer is committed: return when AddFinalizer reports true, and go on in
// the reconcile that follows.
func (tx *Tx) AddFinalizer(obj store.Object, name string) bool {
	if obj.GetDeletionTimestamp() != nil || slices.Contains(obj.GetFinalizers(), name) {
		return false
	}
	obj.SetFinalizers(append(slices.Clone(obj.GetFinalizers()), name))
	tx.Update(obj)
	return true
}

// RemoveFinalizer takes a finalizer from an object, which is a copy of what was
// read and which it changes, and has the Tx update it. When the object is being
// deleted and the finalizer is its last, it will be gone. It reports whether the
// object had the finalizer.
func (tx *Tx) RemoveFinalizer(obj store.Object, name string) bool {
	if !slices.Contains(obj.GetFinalizers(), name) {
		return false
	}
	obj.SetFinalizers(slices.DeleteFunc(slices.Clone(obj.GetFinalizers()), func(f string) bool { return f == name }))
	tx.Update(obj)
	return true
}

// SetCondition sets one of the conditions in an object's status, the one of c's
// type, and has the Tx update the status. It reports whether it did so: not when
// the condition is so already.
//
//	tx.SetCondition(site, &site.Status.Conditions, metav1.Condition{
//		Type: "Ready", Status: metav1.ConditionTrue, Reason: "AllReplicasReady"})
//
// The observedGeneration is the object's generation and the lastTransitionTime
// is now, unless c has others; the latter moves only when the condition's status
// does.
func (tx *Tx) SetCondition(obj store.Object, conditions *[]metav1.Condition, c metav1.Condition) bool {
	if c.ObservedGeneration == 0 {
		c.ObservedGeneration = obj.GetGeneration()
	}
	if c.LastTransitionTime.IsZero() {
		c.LastTransitionTime = metav1.NewTime(tx.manager.clock.Now().Truncate(time.Second))
	}
	if !meta.SetStatusCondition(conditions, c) {
		return false
	}
	tx.UpdateStatus(obj)
	return true
}

// EventRecorder records what has happened to objects, as [events.Recorder] does.
//
// [events.Recorder]: https://pkg.go.dev/github.com/homeostat/homeostat/pkg/events#Recorder
type EventRecorder interface {
	Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any)
}

// Eventf records an Event with the manager's recorder, see
// [ManagerOptions].Events, once the Tx has been committed, and not at all if it
// is not. The note is formatted at once; regarding and related, which may be nil,
// are as the commit leaves them, so that they may be objects that it creates.
func (tx *Tx) Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any) {
	recorder := tx.manager.options.Events
	if recorder == nil || tx.committed && tx.outcome != nil {
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
