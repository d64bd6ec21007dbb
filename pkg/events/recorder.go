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

// Recorder writes Events. It is safe for concurrent use.
type Recorder struct {
	by      reporter
	objects *store.Store // knows the kinds of the objects
	events  *store.Store // on the prefix of the Events, for reading
	keys    string       // what the keys of all Events begin with
	options Options
	clock   clock.WithDelayedExecution
	log     logr.Logger

	// What recorders for several controllers share.
	table   *table
	drops   *drops
	wake    chan struct{} // holds a token when there is something to write at once
	running *atomic.Bool
}

// reporter is who tells of an event.
type reporter struct{ controller, instance string }

// New returns a recorder for events about the objects of a store, which knows
// their kinds. It does not talk to etcd: that is up to Run. What is recorded
// before is written then.
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

// newStore returns a store of the Events, and what their keys begin with.
func newStore(o Options) (*store.Store, string, error) {
	s, err := store.New(o.Client, store.Options{
		Prefix: o.Prefix, Clock: o.Clock, Log: o.Log,
		Kinds: []store.AnyKind{store.Kind[*eventsv1.Event]{GroupVersionKind: eventKind}},
	})
	if err != nil {
		return nil, "", err
	}
	keys, _, err := s.Decoder(&eventsv1.Event{})
	return s, keys, err
}

var eventKind = eventsv1.SchemeGroupVersion.WithKind("Event")

// Store returns a store with which the Events can be read. Programs without a
// recorder make their own, on the same prefix and with the one kind
// *eventsv1.Event.
//
//	list, err := store.List[*eventsv1.Event](ctx, r.Store(), store.ListOptions{Namespace: "default"})
func (r *Recorder) Store() *store.Store { return r.events }

// WithController returns a recorder that reports for another controller of the
// same program. It shares everything else with r: one Run serves both.
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
// regarding is the object, and related, which may be nil, another one that took
// part. Both must be of kinds that the recorder's store knows, and have names;
// they are not kept. The Event is stored in regarding's namespace, and in
// "default" when it has none. eventType is "Normal" or "Warning". reason says
// why it happened, and action what was done; both are for machines, as in
// "BackOff" and "PullImage", and have 1 to 128 bytes. The note is for people,
// formatted as by fmt.Sprintf and cut to 1024 bytes.
//
// A call with other arguments is logged and counted as Invalid; see [Drops] for
// other causes for which there will be no Event.
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
		r.drop(cause, 1, nil, "controller", r.by.controller, "kind", o.regarding.Kind,
			"object", o.regarding.Namespace+"/"+o.regarding.Name, "reason", reason)
	}
	if news {
		r.signal()
	}
}

// signal wakes up Run.
func (r *Recorder) signal() {
	select {
	case r.wake <- struct{}{}:
	default: // it will look anyway
	}
}
