package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/events"
	"github.com/homeostat/homeostat/pkg/store"
)

// addRecorder adds what writes the Events of the controllers.
func (p *program) addRecorder() (err error) {
	p.recorder, err = events.New(p.store, events.Options{
		Controller: "deployment-controller", Prefix: eventsPrefix(p.options.prefix), Log: p.log(),
	})
	if err != nil {
		return err
	}
	return p.manager.Add("events", p.recorder.Run, controller.RunnableOptions{StopLast: true})
}

// eventsPrefix returns where the Events of a store are: /events/ for the default prefix,
// and otherwise beside the store's own.
func eventsPrefix(prefix string) string {
	if prefix == store.DefaultPrefix {
		return events.DefaultPrefix
	}
	return strings.TrimSuffix(prefix, "/") + ".events/"
}

// showEvents prints new Events of all processes until ctx is done: warnings, and all with
// -v 1. It prints a series once.
func (p *program) showEvents(ctx context.Context) error {
	s := p.recorder.Store()
	revision, err := s.Revision(ctx)
	if err != nil {
		p.log().V(1).Info("Events are not shown", "cause", err.Error())
		return nil
	}
	for change, err := range store.Watch[*eventsv1.Event](ctx, s, store.WatchOptions{From: revision + 1}) {
		if err != nil && ctx.Err() == nil {
			p.log().Error(err, "an Event cannot be read")
		}
		if err == nil && change.Type == store.Added && p.wants(change.Object) {
			p.say("%s", eventLine(change.Object))
		}
	}
	return nil
}

func (p *program) wants(e *eventsv1.Event) bool {
	if e.Type != corev1.EventTypeWarning && p.options.verbosity < 1 {
		return false
	}
	return !p.onlyNamed() || p.belongsToNamed(e.Regarding)
}

// belongsToNamed reports whether an object is one of the Deployments in the manifests, or
// has a name that begins like those of its ReplicaSets and Pods.
func (p *program) belongsToNamed(object corev1.ObjectReference) bool {
	for key := range p.named {
		if key.Namespace == object.Namespace && (key.Name == object.Name || strings.HasPrefix(object.Name, key.Name+"-")) {
			return true
		}
	}
	return false
}

func eventLine(e *eventsv1.Event) string {
	return fmt.Sprintf("%s %s %s %s %s/%s: %s", e.EventTime.In(time.Local).Format("15:04:05.000"), e.Type, e.Reason,
		strings.ToLower(e.Regarding.Kind), e.Regarding.Namespace, e.Regarding.Name, e.Note)
}
