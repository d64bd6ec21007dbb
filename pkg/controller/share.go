package controller

import (
	"context"
	"iter"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/controller/internal/rendezvous"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// share is a sharded controller's part of the keys: those in the buckets that
// this process owns.
type share struct {
	manager *Manager
	shards  *shards
	kind    schema.GroupKind
}

// shardedKind is the kind of a sharded controller.
type shardedKind struct {
	info   store.KindInfo
	get    func(*informer.Snapshot, store.Key) (metav1.Object, bool)
	keys   func(*informer.Snapshot) iter.Seq[store.Key]
	owned  func(*informer.Snapshot, types.UID) iter.Seq[store.Object] // by a controller
	follow func(rerooted func(types.UID)) *informer.Registration
}

func newShare[T store.Object](m *Manager, primary store.KindInfo) (*share, error) {
	inf, err := informer.For[T](m.replica)
	if err != nil {
		return nil, err
	}
	owned, err := ownedIndex[T](m)
	if err != nil {
		return nil, err
	}
	sh := &share{manager: m, shards: m.shards, kind: primary.GroupVersionKind.GroupKind()}
	m.shards.kinds.Store(sh.kind, &shardedKind{
		info: primary,
		get: func(s *informer.Snapshot, key store.Key) (metav1.Object, bool) {
			obj, ok := inf.Get(s, key)
			return obj, ok
		},
		keys: func(s *informer.Snapshot) iter.Seq[store.Key] {
			return func(yield func(store.Key) bool) {
				for obj := range inf.List(s, informer.ListOptions{}) {
					if !yield(store.KeyOf(obj)) {
						return
					}
				}
			}
		},
		owned:  ownedBy(owned),
		follow: func(rerooted func(types.UID)) *informer.Registration { return follow(inf, rerooted) },
	})
	return sh, nil
}

// maxOwners bounds how far owners are followed, who may own each other.
const maxOwners = 16

// bucketOf returns the bucket of an object: that of its root owner, as far as
// owners can be followed, which is through the kinds of sharded controllers.
// What does not exist is its own root.
func (s *shards) bucketOf(snapshot *informer.Snapshot, kind schema.GroupKind, key store.Key) int {
	for range maxOwners {
		known, ok := s.kindOf(kind)
		if !ok {
			break
		}
		obj, exists := known.get(snapshot, key)
		if !exists {
			break
		}
		ref := metav1.GetControllerOfNoCopy(obj)
		if ref == nil {
			break
		}
		gv, err := schema.ParseGroupVersion(ref.APIVersion)
		if err != nil {
			break
		}
		kind, key.Name = schema.GroupKind{Group: gv.Group, Kind: ref.Kind}, ref.Name
		if owner, ok := s.kindOf(kind); ok && owner.info.ClusterScoped {
			key.Namespace = ""
		}
	}
	return rendezvous.Bucket(s.options.Buckets, kind.Group, kind.Kind, key.Namespace, key.Name)
}

func (s *shards) kindOf(kind schema.GroupKind) (*shardedKind, bool) {
	known, ok := s.kinds.Load(kind)
	if !ok {
		return nil, false
	}
	return known.(*shardedKind), true
}

// enter returns the bucket of a key that is to be reconciled now, or nil when
// this process may not. leave follows.
func (sh *share) enter(key store.Key) *bucket {
	n := sh.shards.bucketOf(sh.manager.replica.Snapshot(), sh.kind, key)
	sh.shards.mu.Lock()
	defer sh.shards.mu.Unlock()
	b := sh.shards.owned[n]
	if b == nil || !b.ready || b.leaving || b.term.lost() {
		return nil
	}
	b.running++
	return b
}

func (sh *share) leave(b *bucket) {
	sh.shards.mu.Lock()
	b.running--
	drained := b.leaving && b.running == 0
	sh.shards.mu.Unlock()
	if drained {
		sh.shards.poke()
	}
}

// source has the keys of buckets reconciled that this process has come to own.
func (sh *share) source() Source[Request] {
	return Source[Request]{bind: func(*binding[Request]) (starter[Request], error) {
		return func(enqueue func(Request, Cause)) (stop func()) {
			g := &gainer{share: sh, enqueue: enqueue}
			sh.shards.add(g)
			return func() { sh.shards.remove(g) }
		}, nil
	}}
}

// gainer enqueues the keys of buckets that are owned now.
type gainer struct {
	share   *share
	enqueue func(Request, Cause)

	mu      sync.Mutex // held while it enqueues
	stopped bool
}

// tell enqueues keys that may have come to be this process's.
func (g *gainer) tell(snapshot *informer.Snapshot, keys iter.Seq[store.Key]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return
	}
	for key := range keys {
		g.enqueue(Request{key}, Cause{Type: CauseSharding, Revision: snapshot.Revision()})
	}
}

func (g *gainer) gain(buckets map[int]bool) {
	if len(buckets) == 0 {
		return
	}
	snapshot := g.share.manager.replica.Snapshot()
	known, _ := g.share.shards.kindOf(g.share.kind)
	g.tell(snapshot, func(yield func(store.Key) bool) {
		for key := range known.keys(snapshot) {
			if buckets[g.share.shards.bucketOf(snapshot, g.share.kind, key)] && !yield(key) {
				return
			}
		}
	})
}

// add has a gainer told of the buckets that are owned already, and of those to
// come.
func (s *shards) add(g *gainer) {
	s.mu.Lock()
	s.gainers = append(s.gainers, g)
	ready := map[int]bool{}
	for n, b := range s.owned {
		ready[n] = b.ready && !b.leaving
	}
	s.mu.Unlock()
	g.gain(ready)
}

func (s *shards) remove(g *gainer) {
	s.mu.Lock()
	s.gainers = slices.DeleteFunc(s.gainers, func(other *gainer) bool { return other == g })
	s.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopped = true
}

// processShared reconciles a key of a sharded controller, unless it is another
// process's. The reconcile's writes carry its bucket's fence, and its context is
// done when the bucket is lost.
func (r *run[R]) processShared(ctx, work context.Context, key R) {
	sh, request := r.share, any(key).(Request)
	b := sh.enter(request.Key)
	if b == nil {
		r.drop(sh, key, request)
		return
	}
	defer sh.leave(b)
	work, cancel := context.WithCancelCause(r.manager.inTerm(work, b.term))
	defer cancel(nil)
	stop := context.AfterFunc(b.term.ctx, func() { cancel(context.Cause(b.term.ctx)) })
	defer stop()
	r.process(ctx, work, key)
}

// drop forgets a key that is another process's. Should the bucket have come to
// this one meanwhile, what that has noted may have been forgotten with it.
func (r *run[R]) drop(sh *share, key R, request Request) {
	r.notes.take(key)
	r.backoff.Forget(key)
	if b := sh.enter(request.Key); b != nil {
		r.enqueue(key, Cause{Type: CauseSharding})
		sh.leave(b)
	}
}
