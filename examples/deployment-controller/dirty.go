package main

import (
	"sync"

	"github.com/homeostat/homeostat/pkg/store"
)

// dirtyKeys collects the keys of Deployments to look at again. It is safe for concurrent
// use.
type dirtyKeys struct {
	wake chan struct{} // holds a value if there may be keys

	mu   sync.Mutex
	keys map[store.Key]struct{} // guarded by mu
}

func newDirtyKeys() *dirtyKeys { return &dirtyKeys{wake: make(chan struct{}, 1)} }

func (d *dirtyKeys) add(keys ...store.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range keys {
		if d.keys == nil {
			d.keys = map[store.Key]struct{}{}
		}
		d.keys[key] = struct{}{}
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// take returns the collected keys and begins again.
func (d *dirtyKeys) take() map[store.Key]struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	keys := d.keys
	d.keys = nil
	return keys
}
