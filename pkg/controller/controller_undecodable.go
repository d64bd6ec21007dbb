package controller

import (
	"sync"
	"time"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// decodability is what a controller asks of the informer of its kind.
type decodability interface {
	Undecodable(store.Key) error
	AfterDecodable(key store.Key, f func()) (stop func() bool)
}

var _ decodability = (*informer.Informer[store.Object])(nil)

// undecodable returns an error if the value that is stored under a key cannot be
// decoded. The keys of a controller without a kind are no objects.
func (c *Controller[R]) undecodable(key R) error {
	if c.decodability == nil {
		return nil
	}
	return c.decodability.Undecodable(any(key).(Request).Key)
}

// undecodableKeys are the keys of one run that wait, because the values stored under
// them cannot be decoded. A reconcile would see an older object, or none.
type undecodableKeys[R comparable] struct {
	mu      sync.Mutex
	waiting map[R]*undecodableKey // guarded by mu
}

type undecodableKey struct {
	since time.Time
	stop  func() bool // ends the wait; guarded by undecodableKeys.mu
}

// awaitDecodable reports whether a key that a worker took has to wait, and brings it
// back when its value can be decoded or is gone.
func (r *run[R]) awaitDecodable(key R) bool {
	err := r.controller.undecodable(key)
	if err == nil {
		return false
	}
	r.queue.Forget(key)
	x := r.undecodable.add(key, r.controller.manager.settings().Clock.Now())
	if x == nil {
		return true // it waits already
	}
	r.logFor(key, nil).V(1).Info("waiting for a value that can be decoded", "cause", err.Error())
	stop := r.controller.decodability.AfterDecodable(any(key).(Request).Key, func() {
		r.undecodable.remove(key)
		r.enqueue(key, Cause{Type: CauseDecodable})
	})
	r.undecodable.mu.Lock()
	defer r.undecodable.mu.Unlock()
	x.stop = stop
	return true
}

// add returns nil if the key waits already.
func (u *undecodableKeys[R]) add(key R, since time.Time) *undecodableKey {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.waiting[key] != nil {
		return nil
	}
	if u.waiting == nil {
		u.waiting = map[R]*undecodableKey{}
	}
	x := &undecodableKey{since: since}
	u.waiting[key] = x
	return x
}

func (u *undecodableKeys[R]) remove(key R) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.waiting, key)
}

// end ends all waits. It is called when no worker is left.
func (u *undecodableKeys[R]) end() {
	u.mu.Lock()
	waiting := u.waiting
	u.waiting = nil
	u.mu.Unlock()
	for _, x := range waiting {
		x.stop()
	}
}

func (u *undecodableKeys[R]) len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.waiting)
}

// since returns when a key began to wait.
func (u *undecodableKeys[R]) since(key R) (since time.Time, waits bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if x := u.waiting[key]; x != nil {
		return x.since, true
	}
	return time.Time{}, false
}

// keys returns at most as many of the keys as most says.
func (u *undecodableKeys[R]) keys(most int) []R {
	u.mu.Lock()
	defer u.mu.Unlock()
	var keys []R
	for key := range u.waiting {
		if len(keys) >= most {
			break
		}
		keys = append(keys, key)
	}
	return keys
}
