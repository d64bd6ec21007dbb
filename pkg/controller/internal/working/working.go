// Package working shows a test the copy of an object that a reconcile function was
// given, and may have changed without writing it.
package working

import (
	"context"

	"github.com/homeostat/homeostat/pkg/store"
)

// Observer is called after a reconcile that returned nil and was committed. given is
// a copy of the object as it was in the snapshot. left are states of the function's copy: as it
// was when the commit began, and as the function left it. The store changes what it
// has written, so the two differ in the parts that a write leaves out.
type Observer func(given store.Object, left ...store.Object)

type observerKey struct{}

// WithObserver returns a context for a reconcile that o observes.
func WithObserver(ctx context.Context, o Observer) context.Context {
	return context.WithValue(ctx, observerKey{}, o)
}

// ObserverOf returns the observer of a reconcile's context, or nil.
func ObserverOf(ctx context.Context) Observer {
	o, _ := ctx.Value(observerKey{}).(Observer)
	return o
}
