package informer

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/tidwall/btree"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"golang.org/x/sync/errgroup"

	"github.com/homeostat/homeostat/pkg/store"
)

// list reads all kinds side by side at one revision, replaces the replica's
// state by what it read, and tells the handlers the difference.
func (f *reflector) list(ctx context.Context, reason string) error {
	select { // whatever was added before now is part of this list
	case <-f.relist:
	default:
	}
	asked := f.clock.Now()
	revision, err := f.revision(ctx)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	f.contact = f.clock.Now()
	lists := f.kindLists()
	group, groupCtx := errgroup.WithContext(ctx)
	for _, l := range lists {
		group.Go(func() error { return l.read(groupCtx, revision) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	at := f.Snapshot().revision
	if revision < at {
		reason = reasonRegressed
	}
	f.status.listed(reason)
	f.logList(reason, at, revision)
	f.replace(lists, revision, reason == reasonRegressed || reason == reasonReplaced)
	f.status.caughtUp(asked, revision)
	return nil
}

// revision reads etcd's revision, linearizably.
func (r *Replica) revision(ctx context.Context) (int64, error) {
	timed, cancel := context.WithTimeout(ctx, r.timing.answer)
	defer cancel()
	revision, err := r.askRevision(timed)
	if err != nil && timed.Err() != nil {
		err = r.unanswered(ctx, err)
	}
	return revision, err
}

func (f *reflector) logList(reason string, from, to int64) {
	switch {
	case reason == reasonRegressed || reason == reasonReplaced:
		f.log.Info("etcd was wiped or restored; listed anew", "reason", reason, "from", from, "to", to)
	case from != 0:
		f.log.V(1).Info("listed again", "reason", reason, "from", from, "to", to)
	}
}

// kindList is a list of one kind in the making.
type kindList struct {
	*Replica
	kind *kind
	old  *btree.Map[string, *entry] // what was known; nil at first

	chunks [][]*entry

	mu  sync.Mutex
	bad map[string]bool // the etcd keys whose values cannot be decoded
}

func (r *Replica) kindLists() []*kindList {
	r.mu.Lock()
	defer r.mu.Unlock()
	lists := make([]*kindList, len(r.kinds))
	for i, k := range r.kinds {
		lists[i] = &kindList{Replica: r, kind: k, bad: map[string]bool{}}
		if k.objects != nil {
			lists[i].old = k.objects.Copy()
		}
	}
	return lists
}

// read lists the kind and decodes on all cores while it reads.
func (l *kindList) read(ctx context.Context, revision int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stall := l.clock.AfterFunc(l.timing.stall, cancel)
	defer stall.Stop()
	var decoders errgroup.Group
	decoders.SetLimit(runtime.GOMAXPROCS(0))
	_, err := store.ListRange(ctx, l.store.Client(), store.PrefixRange(l.kind.prefix), revision, func(kvs []*mvccpb.KeyValue) error {
		stall.Reset(l.timing.stall)
		chunk := make([]*entry, len(kvs))
		l.chunks = append(l.chunks, chunk)
		decoders.Go(func() error {
			for i, kv := range kvs {
				chunk[i] = l.entry(kv)
			}
			return nil
		})
		return nil
	})
	_ = decoders.Wait() // its functions return no errors
	if err != nil && !stall.Stop() {
		return fmt.Errorf("nothing from etcd for %v: %w", l.timing.stall, err)
	}
	return err
}

// entry returns the known entry where the list shows that nothing changed, and
// where the value cannot be decoded; nil when there is none. The revision alone
// does not show it: etcd's data may have been replaced.
func (l *kindList) entry(kv *mvccpb.KeyValue) *entry {
	etcdKey := string(kv.Key)
	var known *entry
	if l.old != nil {
		known, _ = l.old.Get(etcdKey[len(l.kind.prefix):])
	}
	if known != nil && known.rev == kv.ModRevision && known.sum == maphash.Bytes(l.seed, kv.Value) {
		return known
	}
	if e, ok := l.decodeEntry(l.kind, etcdKey, kv); ok {
		return e
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bad[etcdKey] = true
	return known
}

// replace makes the lists the replica's state. When etcd has started anew, so do
// the waits: the revisions that they wait for may never come.
func (f *reflector) replace(lists []*kindList, revision int64, anew bool) {
	f.certain, f.lag, f.witness = revision, lag{}, witness{}
	f.mu.Lock()
	if anew {
		f.era++
	}
	changed := make([]*kind, len(lists))
	var changes []change
	for i, l := range lists {
		changed[i] = l.kind
		changes = append(changes, l.install(revision, &f.witness)...)
	}
	f.publish(revision, changed...)
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(a.revision, b.revision) })
	for _, c := range changes {
		c.kind.taken++
	}
	for _, k := range changed {
		k.begin()
	}
	listeners := listenersOf(changed)
	close(f.listed)
	f.listed = make(chan struct{})
	f.mu.Unlock()
	tell(listeners, changes, revision)
	if anew {
		revision = math.MaxInt64
	}
	f.waits.reached(revision)
}

// install puts the list in place of the kind's objects and returns what differs
// from them. Objects that were not known at all before are no change: handlers
// learn of the first list from the snapshot.
func (l *kindList) install(revision int64, w *witness) []change {
	k := l.kind
	objects, bytes := new(btree.Map[string, *entry]), int64(0)
	for _, chunk := range l.chunks {
		for _, e := range chunk {
			if e == nil {
				continue
			}
			l.mutations.add(k, e)
			objects.Load(e.key, e)
			bytes += int64(e.size)
			if etcdKey := k.prefix + e.key; e.rev >= w.rev && !l.bad[etcdKey] {
				w.see(etcdKey, e)
			}
		}
	}
	var changes []change
	if k.objects != nil {
		changes = l.diff(k.objects, objects, revision)
	}
	l.mutations.replace(k, func(e *entry) bool {
		is, _ := objects.Get(e.key)
		return is == e
	})
	k.objects, k.bytes = objects, bytes
	for _, x := range k.indexes {
		x.build(objects)
	}
	l.status.onlyUndecodable(k.prefix, l.bad)
	return changes
}

// diff returns what has to be told to somebody who knows old. When exactly
// something was deleted is lost; the list's revision is when it was found gone.
func (l *kindList) diff(old, objects *btree.Map[string, *entry], revision int64) []change {
	var changes []change
	old.Scan(func(key string, was *entry) bool {
		if _, ok := objects.Get(key); !ok {
			changes = append(changes, change{l.kind, key, was, nil, revision})
		}
		return true
	})
	objects.Scan(func(key string, is *entry) bool {
		if was, _ := old.Get(key); was != is {
			changes = append(changes, change{l.kind, key, was, is, is.rev})
		}
		return true
	})
	return changes
}
