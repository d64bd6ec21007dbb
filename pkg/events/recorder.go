package events

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/go-logr/logr"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/store"
)

// Recorder records Events in memory, and writes them while [Recorder.Run] runs. It is safe
// for concurrent use.
type Recorder struct {
	by      reporter
	objects *store.Store // knows the kinds of the objects
	events  *store.Store // on the prefix of the Events, for reading
	keys    string       // the prefix of the keys of all Events
	options Options
	clock   clock.WithDelayedExecution
	log     logr.Logger

	// Recorders for several controllers share these. table and drops have locks of their
	// own.
	table   *table
	drops   *drops
	wake    chan struct{} // buffered: a series may have become ready
	running *atomic.Bool
}

// reporter is the controller that records an Event.
type reporter struct{ controller, instance string }

// New returns a recorder of Events about the objects of a store. It sends nothing to etcd:
// Run writes what is recorded, even what was recorded before it began. The error says
// which option is not valid.
func New(s *store.Store, o Options) (*Recorder, error) {
	if s == nil {
		return nil, errors.New("events: the store is nil")
	}
	o, err := o.complete(s)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	events, keys, err := newStore(o)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	return &Recorder{
		by: reporter{o.Controller, o.Instance}, objects: s, events: events, keys: keys,
		options: o, clock: o.Clock, log: o.Log,
		table: newTable(o.Buffer, o.Burst), drops: &drops{}, wake: make(chan struct{}, 1), running: &atomic.Bool{},
	}, nil
}

// newStore returns a store of the Events, and the prefix of their keys.
func newStore(o Options) (*store.Store, string, error) {
	s, err := store.New(o.Client, store.Options{
		Prefix: o.Prefix, Clock: o.Clock, Log: o.Log,
		Kinds: []store.AnyKind{store.Kind[*eventsv1.Event]{GroupVersionKind: eventKind}},
	})
	if err != nil {
		return nil, "", err
	}
	keys, _, err := s.Decoder(&eventsv1.Event{}, store.DecodeOptions{})
	return s, keys, err
}

var eventKind = eventsv1.SchemeGroupVersion.WithKind("Event")

// Store returns a store to read the Events with. Programs without a recorder make one
// themselves, with the same prefix and the one kind *eventsv1.Event.
//
//	list, err := store.List[*eventsv1.Event](ctx, r.Store(), store.ListOptions{Namespace: "default"})
func (r *Recorder) Store() *store.Store { return r.events }

// WithController returns a recorder for another controller of the same program. It
// shares everything else with r: one Run serves both. The rules for name are those of
// [Options.Controller]; the error says why it is not valid.
func (r *Recorder) WithController(name string) (*Recorder, error) {
	if err := checkController(name); err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	d := *r
	d.by.controller = name
	return &d, nil
}

// Eventf records that something has happened to an object. It returns at once.
//
// regarding is the object. related is another object that took part, or nil. Each may be
// a *corev1.ObjectReference to an object, whose fields other than kind and name are
// optional. The recorder's store must know the kind of an object, or the object must have
// apiVersion and kind. Objects must have names. Eventf does not keep them. The Event is stored in regarding's namespace, or in "default" if it has none.
// eventType is "Normal" or "Warning". reason says why it happened and action what was
// done, in 1 to 128 bytes for machines to read, such as "BackOff" and "PullImage". The
// note is for people. It is formatted as by fmt.Sprintf, and cut to 1024 bytes.
//
// A call with invalid arguments is logged, and counted as Invalid. See [Drops] for the
// other causes that leave a call without an Event.
func (r *Recorder) Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any) {
	o, err := r.newOccurrence(regarding, related, eventType, reason, action)
	if err != nil {
		r.drop(dropInvalid, 1, err, "controller", r.by.controller, "type", eventType, "reason", reason, "action", action)
		return
	}
	o.note = cutNote(fmt.Sprintf(note, args...))
	o.at = r.clock.Now()
	news, cause := r.table.observe(o)
	if cause != dropNone {
		r.drop(cause, 1, nil, "controller", r.by.controller, "kind", o.what.regarding.Kind,
			"object", o.what.regarding.Namespace+"/"+o.what.regarding.Name, "reason", reason)
	}
	if news {
		r.signal()
	}
}

// signal wakes Run up.
func (r *Recorder) signal() {
	select {
	case r.wake <- struct{}{}:
	default: // it is about to wake up
	}
}
