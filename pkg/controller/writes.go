package controller

import (
	"sync"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// writes notes down what one reconcile wrote: the next one must see it.
type writes struct {
	replica *informer.Replica

	mu       sync.Mutex
	revision int64
	unknown  bool // a write's outcome is unknown
}

func (w *writes) observe(write store.Write) {
	if write.Client != w.replica.Store().Client() || !w.covers(write.Keys) {
		return // revisions of another etcd mean nothing here
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revision = max(w.revision, write.Revision)
	w.unknown = w.unknown || store.IsUnknownOutcome(write.Err)
}

func (w *writes) covers(keys []string) bool {
	for _, key := range keys {
		if w.replica.Covers(key) {
			return true
		}
	}
	return false
}

// result returns the revision that the next reconcile must see, and whether
// there may have been writes beyond it.
func (w *writes) result() (revision int64, unknown bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.revision, w.unknown
}
