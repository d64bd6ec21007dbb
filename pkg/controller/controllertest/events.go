package controllertest

import (
	"fmt"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/store"
)

// Event is an Event that was recorded during a reconcile.
type Event struct {
	// Regarding is a copy of the object that the Event is about, as it was when the
	// Event was recorded: after the commit for those of controller.Tx. Related is a
	// copy of the other object, or nil.
	Regarding, Related runtime.Object
	// Type is "Normal" or "Warning".
	Type string
	// Reason, Action and Note are those given to Eventf. Note is formatted.
	Reason, Action, Note string
}

// String formats an Event as "Warning BackOff default/web-1: no image".
func (e Event) String() string {
	regarding := "?"
	if obj, ok := e.Regarding.(store.Object); ok {
		regarding = store.KeyOf(obj).String()
	}
	return fmt.Sprintf("%s %s %s: %s", e.Type, e.Reason, regarding, e.Note)
}

// Events are several Events, in the order in which they were recorded. A test compares
// String with what it expects.
type Events []Event

// String returns one line for each Event.
func (e Events) String() string {
	lines := make([]string, len(e))
	for i, event := range e {
		lines[i] = event.String()
	}
	return strings.Join(lines, "\n")
}

// eventLog is the recorder of an Env.
type eventLog struct {
	next controller.EventRecorder // that of the test's options, or nil

	mu     sync.Mutex // guards events
	events Events
}

func (l *eventLog) Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any) {
	e := Event{Regarding: copyOf(regarding), Related: copyOf(related), Type: eventType, Reason: reason, Action: action, Note: fmt.Sprintf(note, args...)}
	l.mu.Lock()
	l.events = append(l.events, e)
	l.mu.Unlock()
	if l.next != nil {
		l.next.Eventf(regarding, related, eventType, reason, action, "%s", e.Note)
	}
}

// take returns the Events that were recorded since the last call.
func (l *eventLog) take() Events {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.events
	l.events = nil
	return taken
}

func copyOf(obj runtime.Object) runtime.Object {
	if obj == nil {
		return nil
	}
	return obj.DeepCopyObject()
}
