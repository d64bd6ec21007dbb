package controller

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// shardFilter lets through the keys of one sharded controller that are in this
// process's buckets. It is immutable.
type shardFilter struct {
	manager *Manager
	sharder *sharder
	kind    schema.GroupKind
}

// newShardFilter returns the filter of a controller for kind T, and makes the kind known
// to the manager's sharder.
func newShardFilter[T store.Object](m *Manager, primary store.KindInfo) (*shardFilter, error) {
	inf, err := informer.For[T](m.Replica())
	if err != nil {
		return nil, err
	}
	byController, err := ownedIndex[T](m)
	if err != nil {
		return nil, err
	}
	f := &shardFilter{manager: m, sharder: m.shards(), kind: primary.GroupVersionKind.GroupKind()}
	f.sharder.kinds.Store(f.kind, &shardedKind{
		info: primary,
		get: func(s *informer.Snapshot, key store.Key) (metav1.Object, bool) {
			obj, ok := inf.Get(s, key)
			return obj, ok
		},
		keys: func(s *informer.Snapshot) iter.Seq[store.Key] {
			return keysOf(inf.List(s, informer.ListOptions{}))
		},
		ownedBy: func(s *informer.Snapshot, owner types.UID) iter.Seq[store.Object] {
			return func(yield func(store.Object) bool) {
				for obj := range byController.Lookup(s, string(owner)) {
					if !yield(obj) {
						return
					}
				}
			}
		},
		watchRoots: func(changed func(types.UID)) *informer.Registration { return watchRoots(inf, changed) },
	})
	return f, nil
}

func keysOf[T store.Object](objects iter.Seq[T]) iter.Seq[store.Key] {
	return func(yield func(store.Key) bool) {
		for obj := range objects {
			if !yield(store.KeyOf(obj)) {
				return
			}
		}
	}
}

// enter returns the bucket of a key that is about to be reconciled, or nil if this
// process must not reconcile the key. The caller calls leave when the reconcile has
// ended; until then the bucket is not handed over.
func (f *shardFilter) enter(key store.Key) *bucket {
	n := f.sharder.bucketOf(f.manager.Replica().Snapshot(), f.kind, key)
	f.sharder.mu.Lock()
	defer f.sharder.mu.Unlock()
	b := f.sharder.owned[n]
	if b == nil || !b.ready || b.draining || b.term.over() {
		return nil
	}
	b.running++
	return b
}

func (f *shardFilter) leave(b *bucket) {
	f.sharder.mu.Lock()
	b.running--
	drained := b.draining && b.running == 0
	f.sharder.mu.Unlock()
	if drained {
		f.sharder.wakeUp()
	}
}

// checkBucket returns an error if an object's bucket is not b. The reconcile entered b
// on an earlier snapshot. If the object did not exist then, it was its own root; by now
// it may exist, and belong to the bucket of its owner, and so to another process.
func (f *shardFilter) checkBucket(key store.Key, b *bucket) error {
	snapshot := f.manager.Replica().Snapshot()
	known, _ := f.sharder.kindOf(f.kind)
	if _, exists := known.get(snapshot, key); !exists || f.sharder.bucketOf(snapshot, f.kind, key) == b.number {
		return nil
	}
	return &outdatedError{fmt.Errorf("%s %s has another root than when its reconcile began", f.kind.Kind, key)}
}

// admit returns a context for the reconcile of a key, and false if this process must not
// reconcile it. Writes with the context carry the fence of the key's bucket, and the
// context is done when the bucket is lost. The caller calls leave when the reconcile has
// ended.
func (f *shardFilter) admit(work context.Context, key store.Key) (ctx context.Context, leave func(), ok bool) {
	b := f.enter(key)
	if b == nil {
		return nil, nil, false
	}
	check := func() error { return f.checkBucket(key, b) }
	ctx, cancel := context.WithCancelCause(f.manager.inTerm(work, b.term, check))
	stop := context.AfterFunc(b.term.context(), func() { cancel(context.Cause(b.term.context())) })
	return ctx, func() {
		stop()
		cancel(nil)
		f.leave(b)
	}, true
}

// source names the keys of buckets that this process has gained.
func (f *shardFilter) source() Source[Request] {
	return Source[Request]{bind: func(*binding[Request]) (starter[Request], error) {
		return func(enqueue func(Request, Cause)) (stop func()) {
			sub := &bucketSubscriber{filter: f, enqueue: enqueue}
			f.sharder.subscribe(sub)
			return func() { f.sharder.unsubscribe(sub) }
		}, nil
	}}
}

// bucketSubscriber enqueues a controller's keys when their buckets become this
// process's, for one run of the controller.
type bucketSubscriber struct {
	filter  *shardFilter
	enqueue func(Request, Cause)

	// mu is held while keys are enqueued. It is never held together with sharder.mu.
	mu      sync.Mutex
	stopped bool // nothing is enqueued any more
}

// enqueueKeys enqueues keys whose buckets may have become this process's.
func (sub *bucketSubscriber) enqueueKeys(snapshot *informer.Snapshot, keys iter.Seq[store.Key]) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if sub.stopped {
		return
	}
	for key := range keys {
		sub.enqueue(Request{key}, Cause{Type: CauseSharding, Revision: snapshot.Revision()})
	}
}

// enqueueBuckets enqueues the keys of the objects in some buckets.
func (sub *bucketSubscriber) enqueueBuckets(buckets map[int]bool) {
	if len(buckets) == 0 {
		return
	}
	f := sub.filter
	snapshot := f.manager.Replica().Snapshot()
	known, _ := f.sharder.kindOf(f.kind)
	sub.enqueueKeys(snapshot, func(yield func(store.Key) bool) {
		for key := range known.keys(snapshot) {
			if buckets[f.sharder.bucketOf(snapshot, f.kind, key)] && !yield(key) {
				return
			}
		}
	})
}

// subscribe enqueues the keys of the buckets that are ready, and lets the subscriber
// know of those to come.
func (s *sharder) subscribe(sub *bucketSubscriber) {
	s.mu.Lock()
	s.subscribers = append(s.subscribers, sub)
	ready := map[int]bool{}
	for n, b := range s.owned {
		if b.ready && !b.draining {
			ready[n] = true
		}
	}
	s.mu.Unlock()
	sub.enqueueBuckets(ready)
}

// unsubscribe returns when nothing is enqueued any more.
func (s *sharder) unsubscribe(sub *bucketSubscriber) {
	s.mu.Lock()
	s.subscribers = slices.DeleteFunc(s.subscribers, func(other *bucketSubscriber) bool { return other == sub })
	s.mu.Unlock()
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.stopped = true
}
