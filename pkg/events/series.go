package events

import (
	"container/list"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

// series is one Event: an occurrence and the later ones with the same key. The table's
// lock guards it.
type series struct {
	key   seriesKey
	name  string
	uid   types.UID
	first time.Time
	last  occurrence
	count uint64 // of occurrences

	written        uint64    // how many occurrences etcd has; at most count
	unwrittenSince time.Time // when the first occurrence that etcd lacks was observed
	coolsUntil     time.Time // the Event is not written again before

	in *list.List // exactly one of the table's lists
	at *list.Element
}

func newSeries(key seriesKey, now time.Time) *series {
	return &series{key: key, name: newName(key.regarding.Name, now), uid: types.UID(uuid.NewString()), first: now}
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

// event returns the series as an Event to store. It shares no memory with s.
func (s *series) event() *eventsv1.Event {
	e := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespaceOf(s.last.what.regarding), Name: s.name, UID: s.uid,
			CreationTimestamp: metav1.NewTime(s.first.Truncate(time.Second)),
		},
		EventTime:           metav1.NewMicroTime(s.first),
		ReportingController: s.key.reporter.controller,
		ReportingInstance:   s.key.reporter.instance,
		Type:                s.key.eventType,
		Reason:              s.key.reason,
		Action:              s.key.action,
		Regarding:           s.last.what.regarding,
		Note:                s.last.note,
	}
	e.SetGroupVersionKind(eventKind)
	if related := s.last.what.related; related != (corev1.ObjectReference{}) {
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

// newName returns a name for an Event about an object. It consists of the object's name,
// the time, so that lists show the Events about an object in their order, and a random
// part, since several recorders may record the same object at the same time.
func newName(object string, at time.Time) string {
	suffix := fmt.Sprintf(".%016x%08x", at.UnixNano(), rand.Uint32())
	base := object[:min(len(object), validation.DNS1123SubdomainMaxLength-len(suffix))]
	base = strings.TrimRight(base, "-.")
	if len(validation.IsDNS1123Subdomain(base)) > 0 {
		base = "event" // some kinds allow names that are not valid for Events
	}
	return base + suffix
}
