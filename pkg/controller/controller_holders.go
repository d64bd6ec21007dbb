package controller

import (
	"context"
	"sync"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// holders are the objects for whose end the keys of one run wait: they hold names that
// reconciles need, such as one that is being deleted. The owner of such an object is
// another one, or an earlier object of the same name, and a filter may drop its end. So
// no source of the controller need report it.
type holders[R comparable] struct {
	mu    sync.Mutex
	kinds map[schema.GroupVersionKind]*heldNames[R] // guarded by mu
}

// heldNames are the held names of one kind.
type heldNames[R comparable] struct {
	start sync.Once
	stop  func() // of the source; set by start

	mu      sync.Mutex
	waiting map[store.Key]map[R]bool // guarded by mu
}

// await makes a key come back when a holder is gone, or may no longer hold its name: it
// begins to be deleted, or gets another controller. holder is as the reconcile saw it.
// No goroutine calls await after end.
func (r *run[R]) await(log logr.Logger, key R, holder store.Object) {
	inf, err := informer.ForObject(r.controller.manager.Replica(), holder)
	kind, kindErr := r.controller.manager.Store().KindOf(holder)
	if err != nil || kindErr != nil {
		return // the reconcile could not have read it
	}
	name := store.KeyOf(holder)
	log.V(1).Info("waiting for the end of an object that has a needed name", "kind", kind.GroupVersionKind.Kind,
		"object", name, "uid", holder.GetUID())
	held := r.holders.ofKind(kind.GroupVersionKind)
	held.add(name, key)
	held.start.Do(func() { held.stop = held.source(inf, r) })
	// What happened before the source started is in this snapshot.
	snapshot := inf.Replica().Snapshot()
	cause := Cause{Type: CauseDeleted, Kind: kind.GroupVersionKind.Kind, Object: name, Revision: snapshot.Revision()}
	if now, exists := inf.Get(snapshot, name); exists {
		if !letsGo(holder, now) {
			return
		}
		cause.Type = CauseModified
	}
	for _, key := range held.take(name) {
		r.enqueue(key, cause)
	}
}

// letsGo reports whether a change of an object may have freed its name for the keys that
// wait for it.
func letsGo(old, now store.Object) bool {
	return now == nil || old != nil && (old.GetUID() != now.GetUID() || controllerUID(old) != controllerUID(now) ||
		(old.GetDeletionTimestamp() == nil) != (now.GetDeletionTimestamp() == nil))
}

func controllerUID(obj metav1.Object) types.UID {
	if ref := metav1.GetControllerOfNoCopy(obj); ref != nil {
		return ref.UID
	}
	return ""
}

func (h *holders[R]) ofKind(kind schema.GroupVersionKind) *heldNames[R] {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kinds == nil {
		h.kinds = map[schema.GroupVersionKind]*heldNames[R]{}
	}
	if h.kinds[kind] == nil {
		h.kinds[kind] = &heldNames[R]{waiting: map[store.Key]map[R]bool{}}
	}
	return h.kinds[kind]
}

// end ends all waits. It is called when no worker is left.
func (h *holders[R]) end() {
	h.mu.Lock()
	kinds := h.kinds
	h.kinds = nil
	h.mu.Unlock()
	for _, held := range kinds {
		held.stop()
	}
}

// source starts to enqueue the waiting keys of the kind.
func (n *heldNames[R]) source(inf *informer.Informer[store.Object], r *run[R]) (stop func()) {
	keys := func(_ context.Context, e informer.Event[store.Object]) []R { return n.take(store.KeyOf(e.Object)) }
	start, err := handleEvents(&r.controller.sources.binding, inf, keys, []informer.Filter[store.Object]{informer.Transition(letsGo)})
	if err != nil {
		return func() {} // there are keys
	}
	return start(r.enqueue)
}

func (n *heldNames[R]) add(name store.Key, key R) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.waiting[name] == nil {
		n.waiting[name] = map[R]bool{}
	}
	n.waiting[name][key] = true
}

// take returns the keys that wait for a name, which then wait no longer.
func (n *heldNames[R]) take(name store.Key) (keys []R) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for key := range n.waiting[name] {
		keys = append(keys, key)
	}
	delete(n.waiting, name)
	return keys
}
