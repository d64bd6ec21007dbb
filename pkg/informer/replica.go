package informer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/tidwall/btree"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/internal/retry"
	"github.com/homeostat/homeostat/pkg/store"
)

// Options configure a [Replica]. The zero value is useful.
type Options struct {
	// Log tells of what disturbs the replica. Defaults to discarding.
	Log logr.Logger
	// Clock times the pauses between attempts, the checks while nothing
	// happens, and the windows of batch handlers. Defaults to the system's.
	Clock clock.WithTickerAndDelayedExecution
	// OnMutation, when set, has the replica look, while it runs, for changes of
	// the objects that it has handed out, which are shared: at some of them once a
	// second, at each when it is replaced, and at all at the end of Run. The function is called from a
	// goroutine of Run's; a panic of it is logged. This is for tests: it costs as
	// much memory again as the objects take, and encodes them again and again.
	// Defaults to not looking, which costs nothing.
	OnMutation func(Mutation)
	// Checkpoint keeps the replica's state in a file, from which the next process
	// begins: it reads from etcd only what has changed, and its handlers are told
	// what they missed. Defaults to keeping nothing.
	Checkpoint Checkpoint
}

// Replica is a local copy of the kinds that were registered with [For], at
// exactly one revision of etcd, kept up to date by [Replica.Run]. See the
// package's documentation for what it guarantees. It is safe for concurrent
// use.
type Replica struct {
	store *store.Store
	log   logr.Logger
	clock clock.WithTickerAndDelayedExecution

	mutations *mutations // nil unless looked for

	snapshot atomic.Pointer[Snapshot]
	enqueued atomic.Pointer[Snapshot] // the newest of which all handlers' backlogs have what led to it
	sorted   atomic.Pointer[[]*kind]  // the kinds by prefix; replaced, never changed
	waiters  revisionWaiters
	status   statusKeeper

	timing     timing
	smallList  int64 // see worthComparing
	checkpoint Checkpoint
	disk       disk
	program    func() string // see programSum

	kindAdded      chan struct{}   // has an element when a kind was added
	waiterAdded    chan struct{}   // has an element when somebody waits for a revision
	regressionSeen chan struct{}   // has an element when somebody saw etcd behind the replica
	listed         retry.Broadcast // of each list, and of having caught up with etcd

	// mu guards what follows, the kinds' trees and indexes, and mutations. It is
	// held while a new snapshot is made, so that a handler or an index that is
	// added sees either all of it or nothing.
	mu                 sync.Mutex
	kinds              []*kind // by slot; only ever appended to
	epoch              int     // how often etcd's data were replaced
	seenEpoch          int     // the same, as somebody saw who found etcd behind a snapshot
	epochID            epochID // whose data the next snapshot shows
	running            bool
	launch             func(*handlerQueue) // starts a handler; nil unless running
	catchingUp         bool                // the newest snapshot is a checkpoint's, and what etcd had when the replica began is yet to come
	restoredCheckpoint *pendingCheckpoint  // the checkpoint that the replica began with
}

// kind is a registered kind. Its trees are the newest state and belong to
// whoever holds Replica.mu; snapshots get copies of them.
type kind struct {
	replica *Replica
	slot    int
	info    store.KindInfo
	prefix  string
	scope   *scope
	decode  store.DecodeFunc
	encode  func(obj store.Object) ([]byte, error)
	skipped atomic.Int64 // values of objects that are not kept

	objects     *btree.Map[string, *entry] // nil until listed
	indexes     []*index
	handlers    []*handlerQueue // only ever appended to, or replaced
	bytes       int64
	changeCount int64 // how many changes were taken in
}

// NewReplica returns a replica of a store that holds no kinds yet. It does
// nothing until Run.
func NewReplica(s *store.Store, o Options) *Replica {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	r := &Replica{
		store: s, log: o.Log, clock: o.Clock, mutations: newMutations(o.OnMutation),
		timing: defaultTiming(), smallList: smallList,
		checkpoint: o.Checkpoint, disk: osDisk{}, program: sync.OnceValue(programSum),
		kindAdded: make(chan struct{}, 1), waiterAdded: make(chan struct{}, 1), regressionSeen: make(chan struct{}, 1),
	}
	r.sorted.Store(new([]*kind))
	r.snapshot.Store(&Snapshot{replica: r})
	return r
}

// Store returns the store that the replica was made with.
func (r *Replica) Store() *store.Store { return r.store }

// Snapshot returns the newest snapshot. Before the first list it is empty and
// at revision 0.
func (r *Replica) Snapshot() *Snapshot { return r.snapshot.Load() }

// Covers reports whether changes of an etcd key reach the replica.
func (r *Replica) Covers(etcdKey string) bool {
	k := r.kindOf(etcdKey)
	if k == nil {
		return false
	}
	kept, _ := k.keeps(etcdKey[len(k.prefix):])
	return kept
}

// Cached implements [store.Cache] with the newest snapshot. It knows nothing of
// objects that are kept only in part.
func (r *Replica) Cached(etcdKey string) (store.Object, bool) {
	k := r.kindOf(etcdKey)
	if k == nil || k.scope.partial() {
		return nil, false
	}
	s := r.Snapshot()
	if k.slot >= len(s.kinds) || s.kinds[k.slot].objects == nil {
		return nil, false
	}
	e, ok := s.kinds[k.slot].objects.Get(etcdKey[len(k.prefix):])
	if !ok {
		return nil, false
	}
	return e.obj, true
}

func (r *Replica) kindOf(etcdKey string) *kind {
	return findKind(*r.sorted.Load(), etcdKey)
}

// findKind finds the kind whose prefix a key has. No prefix begins another.
func findKind(sorted []*kind, etcdKey string) *kind {
	i, found := slices.BinarySearchFunc(sorted, etcdKey, func(k *kind, key string) int {
		return strings.Compare(k.prefix, key)
	})
	if found || i == 0 || !strings.HasPrefix(etcdKey, sorted[i-1].prefix) {
		return nil
	}
	return sorted[i-1]
}

// addKind returns a kind, registered now unless it was before. A scope is only
// for one that was not.
func (r *Replica) addKind(info store.KindInfo, s *scope) (*kind, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.kinds {
		switch {
		case k.info.GroupVersionKind != info.GroupVersionKind:
		case s != nil:
			return nil, fmt.Errorf("%s is registered already: restrict it before anybody asks for it", info.GroupVersionKind)
		default:
			return k, nil
		}
	}
	if s == nil {
		s = &scope{}
	}
	obj, ok := r.store.NewObject(info.GroupVersionKind)
	if !ok {
		return nil, fmt.Errorf("the store does not know %s", info.GroupVersionKind)
	}
	prefix, decode, err := r.store.Decoder(obj, store.DecodeOptions{
		MetadataOnly: s.metadataOnly,
		Shared:       s.transform == nil, // which may change what it is given
	})
	if err != nil {
		return nil, err
	}
	encode, err := r.store.Encoder(obj)
	if err != nil {
		return nil, err
	}
	k := &kind{replica: r, slot: len(r.kinds), info: info, prefix: prefix, scope: s, decode: decode, encode: encode}
	for _, other := range r.kinds {
		if other.prefix == prefix {
			return nil, fmt.Errorf("kinds %s and %s share the keys below %s", other.info.GroupVersionKind, info.GroupVersionKind, prefix)
		}
	}
	r.kinds = append(r.kinds, k)
	sorted := append(slices.Clone(*r.sorted.Load()), k)
	slices.SortFunc(sorted, func(a, b *kind) int { return strings.Compare(a.prefix, b.prefix) })
	r.sorted.Store(&sorted)
	signal(r.kindAdded)
	return k, nil
}

func (r *Replica) addIndex(k *kind, def *indexDef) {
	r.mu.Lock()
	defer r.mu.Unlock()
	def.slot = len(k.indexes)
	x := &index{def: def, kind: k}
	x.build(k.objects)
	k.indexes = append(k.indexes, x)
	r.publish(r.Snapshot().revision, k)
}

// publish makes the newest state of some kinds visible, as a snapshot at a
// revision. It is called with mu held.
func (r *Replica) publish(revision int64, changed ...*kind) {
	old := r.Snapshot()
	s := &Snapshot{replica: r, revision: revision, epoch: r.epoch, epochID: r.epochID, kinds: old.kinds}
	if len(changed) > 0 {
		s.kinds = make([]kindState, len(r.kinds))
		copy(s.kinds, old.kinds)
	}
	for _, k := range changed {
		s.kinds[k.slot] = k.state()
	}
	r.snapshot.Store(s)
}

// state copies a kind's trees, which costs the same whatever their size: from
// then on, what changes is copied first.
func (k *kind) state() kindState {
	if k.objects == nil {
		return kindState{}
	}
	s := kindState{objects: k.objects.Copy(), indexes: make([]*btree.BTreeG[indexItem], len(k.indexes))}
	for i, x := range k.indexes {
		s.indexes[i] = x.tree.Copy()
	}
	return s
}

// set puts an entry, or none, under a key and returns the one that was there; nil
// if there was none.
func (k *kind) set(key string, e *entry) (old *entry) {
	if e == nil {
		old, _ = k.objects.Delete(key)
	} else {
		old, _ = k.objects.Set(key, e)
	}
	if old != nil {
		k.replica.mutations.drop(old)
		k.bytes -= int64(old.size)
		for _, x := range k.indexes {
			x.remove(old)
		}
	}
	if e != nil {
		k.replica.mutations.add(k, e)
		k.bytes += int64(e.size)
		for _, x := range k.indexes {
			x.insert(e, nil)
		}
	}
	return old
}

// WaitForSync waits until the replica has listed every kind that is registered
// when it is called or, where it began with a checkpoint, has come as far as etcd
// was then. The error is that of ctx, with what keeps the replica from it.
func (r *Replica) WaitForSync(ctx context.Context) error {
	r.mu.Lock()
	n := len(r.kinds)
	r.mu.Unlock()
	for {
		listed := r.listed.Changed()
		r.mu.Lock()
		missing, catchingUp := r.unlisted(n), r.catchingUp
		r.mu.Unlock()
		what := "what changed since the checkpoint"
		if missing != nil {
			what = "the first list of " + missing.prefix
		} else if !catchingUp {
			return nil
		}
		select {
		case <-listed:
		case <-ctx.Done():
			return r.explainWait(fmt.Errorf("wait for %s: %w", what, ctx.Err()))
		}
	}
}

func (r *Replica) unlisted(n int) *kind {
	for _, k := range r.kinds[:n] {
		if k.objects == nil {
			return k
		}
	}
	return nil
}

// explainWait adds to the error of a wait what the replica suffers from.
func (r *Replica) explainWait(err error) error {
	r.mu.Lock()
	running := r.running
	r.mu.Unlock()
	if !running {
		return fmt.Errorf("%w (the replica does not run)", err)
	}
	if st := r.Status(); st.Err != nil {
		return fmt.Errorf("%w (the replica is in trouble since %s: %w)", err, st.StaleSince.Format("15:04:05"), st.Err)
	}
	return err
}

// signal puts an element into a channel of capacity one, unless it has one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
