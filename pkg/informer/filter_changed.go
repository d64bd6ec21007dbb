package informer

import (
	"maps"

	"github.com/homeostat/homeostat/pkg/store"
)

// GenerationChanged holds for updates that changed metadata.generation, which
// counts the changes of an object's spec, and for the update that set
// metadata.deletionTimestamp. It holds for all creations and deletions, and for
// all updates of an object without a generation, which has no spec. Use it for
// a reconciler that reads only the spec and must not run after writes of status.
//
// Like [LabelsChanged], [AnnotationsChanged] and [FieldChanged] it is a leaf about
// changes:
//
//   - [Or] of several holds for an update that changed one of the parts;
//     several filters of one handler are joined by [And], and hold for an update
//     that changed all of them.
//   - [Not] holds for updates that changed nothing of the part, and for no
//     creation or deletion.
//   - With a leaf about objects, such as [LabelSelector], [And] drops the update
//     by which an object enters or leaves the selection, unless that update also
//     changed the part.
func GenerationChanged[T store.Object]() Filter[T] {
	return updated(func(old, new T) bool {
		return new.GetGeneration() == 0 || new.GetGeneration() != old.GetGeneration() ||
			new.GetDeletionTimestamp().IsZero() != old.GetDeletionTimestamp().IsZero()
	})
}

// LabelsChanged holds for updates that changed labels, and for all creations and
// deletions. [GenerationChanged] says how it combines with other filters.
func LabelsChanged[T store.Object]() Filter[T] {
	return updated(func(old, new T) bool { return !maps.Equal(old.GetLabels(), new.GetLabels()) })
}

// AnnotationsChanged holds for updates that changed annotations, and for all
// creations and deletions. [GenerationChanged] says how it combines with other
// filters.
func AnnotationsChanged[T store.Object]() Filter[T] {
	return updated(func(old, new T) bool { return !maps.Equal(old.GetAnnotations(), new.GetAnnotations()) })
}

// FieldChanged holds for updates that changed what field returns for the object,
// and for all creations and deletions. [GenerationChanged] says how it combines
// with other filters.
func FieldChanged[T store.Object, V comparable](field func(obj T) V) Filter[T] {
	return updated(func(old, new T) bool { return field(old) != field(new) })
}

// updated is a leaf about changes that holds for all creations and deletions, and
// for the updates for which changed returns true.
func updated[T store.Object](changed func(old, new T) bool) Filter[T] {
	return aboutChange(func(e *evaluation[T]) (bool, error) {
		return e.change.operation() != Update || changed(e.old, e.new), nil
	})
}
