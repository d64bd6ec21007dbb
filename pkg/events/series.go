package events

import (
	"container/list"
	"math"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// series is one Event: an occurrence and those after it that agree with it.
type series struct {
	id    identity
	name  string
	uid   types.UID
	first time.Time
	last  occurrence
	count uint64 // of occurrences

	written        uint64    // how many occurrences etcd knows of; at most count
	unwrittenSince time.Time // when the first that it does not know of was observed
	restsUntil     time.Time // the Event is not written again before

	in *list.List // one of the table's; every series of a table is in exactly one
	at *list.Element
}

func newSeries(id identity, now time.Time) *series {
	return &series{id: id, name: newName(id.regarding.Name, now), uid: types.UID(uuid.NewString()), first: now}
}

func (s *series) add(o occurrence) {
	if !s.dirty() {
		s.unwrittenSince = o.at
	}
	s.last = o
	s.count++
}

// dirty reports whether there is something to write.
func (s *series) dirty() bool { return s.count > s.written }

// event is the series as it is to be stored. It shares nothing with s.
func (s *series) event() *eventsv1.Event {
	e := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespaceOf(s.last.regarding), Name: s.name, UID: s.uid,
			CreationTimestamp: metav1.NewTime(s.first.Truncate(time.Second)),
		},
		EventTime:           metav1.NewMicroTime(s.first),
		ReportingController: s.id.controller,
		ReportingInstance:   s.id.instance,
		Type:                s.id.eventType,
		Reason:              s.id.reason,
		Action:              s.id.action,
		Regarding:           s.last.regarding,
		Note:                s.last.note,
	}
	e.SetGroupVersionKind(eventKind)
	if related := s.last.related; related != (corev1.ObjectReference{}) {
		e.Related = &related
	}
	if s.count > 1 {
		e.Series = &eventsv1.EventSeries{
			Count:            int32(min(s.count, math.MaxInt32)),
			LastObservedTime: metav1.NewMicroTime(s.last.at),
		}
	}
	return e
}
