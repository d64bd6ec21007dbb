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
	// Log reports what disturbs the replica. Defaults to discarding.
	Log logr.Logger
	// Clock times all pauses, timeouts and periodic checks, and the batches of
	// batch handlers. Defaults to the system's clock.
	Clock clock.WithTickerAndDelayedExecution
	// OnMutation is called when somebody has changed an object of the replica,
	// which is shared. While it runs, the replica checks some objects every
	// second, each object when it is replaced, and all objects at the end of Run.
	// The function is called from a goroutine of Run; if it panics, the replica
	// logs that. OnMutation is for tests: it doubles the memory of the objects and
	// encodes them again and again. Defaults to no checks, at no cost.
	OnMutation func(Mutation)
	// Checkpoint makes the replica keep its state in a file, from which the next
	// process starts: that process reads only what changed from etcd, and its
	// handlers get the changes that they missed. Defaults to no file.
	Checkpoint Checkpoint
}

// Replica is a local copy of the kinds that [For] registered, at one revision of
// etcd, which [Replica.Run] keeps up to date. The package documentation states its
// guarantees. It is safe for concurrent use.
type Replica struct {
	store *store.Store
	log   logr.Logger
	clock clock.WithTickerAndDelayedExecution

	mutations *mutations // nil without Options.OnMutation

	snapshot atomic.Pointer[Snapshot]
	enqueued atomic.Pointer[Snapshot] // the newest snapshot whose changes are in all handlers' queues
	sorted   atomic.Pointer[[]*kind]  // the kinds by prefix; replaced, never changed
	waiters  revisionWaiters
	status   statusKeeper

	timing     timing
	smallList  int64 // see shouldCompareKeys
	checkpoint Checkpoint
	disk       disk
	program    func() string // see programSum

	kindAdded       chan struct{}   // has an element when a kind was added
	waiterAdded     chan struct{}   // has an element when a waiter was added
	undecodableSeen chan struct{}   // has an element when reportUndecodable has something to report
	regressionSeen  chan struct{}   // has an element when somebody saw etcd at a revision below the replica's
	listed          retry.Broadcast // notified of each list, and when the replica has caught up after a checkpoint

	// mu guards the fields below, the trees, indexes and handlers of the kinds,
	// and mutations. It is held while a snapshot is made, so that a handler or
	// index that is added meanwhile sees either all of the snapshot or nothing.
	mu                 sync.Mutex
	kinds              []*kind // by slot; only ever appended to
	epoch              int     // counts the replacements of etcd's data
	seenEpoch          int     // the epoch that must have begun, since etcd was seen behind a snapshot
	epochID            epochID // of the next snapshot
	running            bool
	launch             func(*handlerQueue) // starts a handler; nil unless running
	catchingUp         bool                // the newest snapshot is a checkpoint's, and has not reached etcd's revision at the start of Run
	restoredCheckpoint *pendingCheckpoint  // the checkpoint that the replica started from
}

// kind is a registered kind. Its trees are the newest state, and are guarded by
// Replica.mu; snapshots get copies of them.
type kind struct {
	replica *Replica
	slot    int
	info    store.KindInfo
	prefix  string
	scope   *scope
	decode  store.DecodeFunc
	encode  func(obj store.Object) ([]byte, error)
	forms   sync.Map     // valueForm -> *valueForm
	skipped atomic.Int64 // counts values of objects that the scope does not keep

	objects     *btree.Map[string, *entry] // nil until listed
	indexes     []*index
	handlers    []*handlerQueue // only ever appended to, or replaced
	totals      totals
	changeCount int64 // counts applied changes
}

// NewReplica returns a replica of a store, without kinds. It does nothing until
// [Replica.Run] is called.
func NewReplica(s *store.Store, o Options) *Replica {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	r := &Replica{
		store: s, log: o.Log, clock: o.Clock, mutations: newMutations(o.OnMutation),
		timing: defaultTiming(), smallList: smallList,
		checkpoint: o.Checkpoint, disk: osDisk{}, program: sync.OnceValue(programSum),
		kindAdded: make(chan struct{}, 1), waiterAdded: make(chan struct{}, 1), undecodableSeen: make(chan struct{}, 1), regressionSeen: make(chan struct{}, 1),
	}
	r.sorted.Store(new([]*kind))
	r.snapshot.Store(&Snapshot{replica: r})
	return r
}

// Store returns the store of the replica.
func (r *Replica) Store() *store.Store { return r.store }

// Snapshot returns the newest snapshot. Before the first list it is empty and at
// revision 0.
func (r *Replica) Snapshot() *Snapshot { return r.snapshot.Load() }

// Covers reports whether an object with this etcd key, if there is one, is in the
// replica: its kind is registered, and the kind's [Scope] keeps the key. Use it to
// decide whether to wait for a write to arrive in the replica.
func (r *Replica) Covers(etcdKey string) bool {
	k := r.kindOf(etcdKey)
	if k == nil {
		return false
	}
	kept, _ := k.keeps(etcdKey[len(k.prefix):])
	return kept
}

// Cached implements [store.Cache] with the newest snapshot. It does not return
// objects of kinds that the replica keeps only in part, whose values have fields that
// the Go type lacks, or whose keys have a lease.
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
	if !ok || e.form != nil && (e.form.Form.UnknownFields || e.form.Leased) {
		return nil, false
	}
	return e.obj, true
}

func (r *Replica) kindOf(etcdKey string) *kind {
	return findKind(*r.sorted.Load(), etcdKey)
}

// findKind finds the kind with a prefix of etcdKey. No kind's prefix is a prefix of
// another kind's.
func findKind(sorted []*kind, etcdKey string) *kind {
	i, found := slices.BinarySearchFunc(sorted, etcdKey, func(k *kind, key string) int {
		return strings.Compare(k.prefix, key)
	})
	if found || i == 0 || !strings.HasPrefix(etcdKey, sorted[i-1].prefix) {
		return nil
	}
	return sorted[i-1]
}

// addKind returns a kind, and registers it if needed. It returns an error if s is not
// nil and the kind is registered.
func (r *Replica) addKind(info store.KindInfo, s *scope) (*kind, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.kinds {
		switch {
		case k.info.GroupVersionKind != info.GroupVersionKind:
		case s != nil:
			return nil, fmt.Errorf("%s is already registered: call Restrict before any For", info.GroupVersionKind)
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
		Shared:       s.transform == nil, // a transform may change the object
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

// publish stores a new snapshot at a revision, with the newest state of the changed
// kinds. It is called with mu held.
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

// publishChanges publishes a snapshot with everything that Run's goroutine has seen.
// It is called with mu held, and reached without it.
func (r *Replica) publishChanges(revision int64, changed ...*kind) {
	r.publish(revision, changed...)
	r.status.published()
}

// reached ends the waits for a published snapshot. It is called without locks, and calls
// functions of others.
func (r *Replica) reached(revision int64) {
	r.status.release()
	r.waiters.reached(revision)
}

// state copies a kind's trees. The copy is lazy: it costs the same for any size, and
// later changes copy the nodes that they touch.
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

// set stores e under a key, or deletes the key if e is nil. It returns the entry that
// was there, or nil.
func (k *kind) set(key string, e *entry) (old *entry) {
	if e == nil {
		old, _ = k.objects.Delete(key)
	} else {
		old, _ = k.objects.Set(key, e)
	}
	if old != nil {
		k.replica.mutations.drop(old)
		k.totals.remove(old)
		for _, x := range k.indexes {
			x.remove(old)
		}
	}
	if e != nil {
		k.replica.mutations.add(k, e)
		k.totals.add(e)
		for _, x := range k.indexes {
			x.insert(e, nil)
		}
	}
	return old
}

// WaitForSync waits until the replica has listed every kind that is registered when
// it is called. If the replica started from a checkpoint, it also waits until the
// replica has reached etcd's revision at that time. The error is that of ctx, with
// the reason of the delay if it is known.
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

// explainWait adds to the error of a wait what keeps the replica from going on.
func (r *Replica) explainWait(err error) error {
	r.mu.Lock()
	running := r.running
	r.mu.Unlock()
	if !running {
		return fmt.Errorf("%w (the replica does not run)", err)
	}
	if st := r.Status(); st.Err != nil {
		return fmt.Errorf("%w (the replica is disturbed since %s: %w)", err, st.StaleSince.Format("15:04:05"), st.Err)
	}
	return err
}

// signal puts an element into a channel of capacity one, unless it is full.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
