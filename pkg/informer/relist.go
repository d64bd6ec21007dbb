package informer

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"

	"github.com/tidwall/btree"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/homeostat/homeostat/pkg/store"
)

// list reads all kinds side by side at one revision, replaces the replica's
// state by what it read, and tells the handlers the difference.
func (f *reflector) list(ctx context.Context, reason string) error {
	select { // whatever was added before now is part of this list
	case <-f.relist:
	default:
	}
	f.mu.Lock()
	lists := make([]*kindList, len(f.kinds))
	for i, k := range f.kinds {
		lists[i] = &kindList{Replica: f.Replica, kind: k, old: k.objects, regressed: reason == reasonRegressed}
		if k.objects != nil {
			lists[i].old = k.objects.Copy()
		}
	}
	f.mu.Unlock()

	revision, err := f.store.Revision(ctx)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, l := range lists {
		group.Go(func() error { return l.read(groupCtx, revision) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if at := f.Snapshot().revision; reason != reasonInitial || at != 0 {
		f.log.V(1).Info("listed again", "reason", reason, "from", at, "to", revision)
	}
	f.status.listed(reason)
	f.replace(lists, revision)
	return nil
}

// kindList is a list of one kind in the making.
type kindList struct {
	*Replica
	kind      *kind
	old       *btree.Map[string, *entry] // what was known; nil at first
	regressed bool                       // revisions known from before mean nothing

	chunks [][]*entry
}

// read lists the kind and decodes on all cores while it reads.
func (l *kindList) read(ctx context.Context, revision int64) error {
	var decoders errgroup.Group
	decoders.SetLimit(runtime.GOMAXPROCS(0))
	_, err := store.ListRange(ctx, l.store.Client(), store.PrefixRange(l.kind.prefix), revision, func(kvs []*mvccpb.KeyValue) error {
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
	return err
}

// entry returns the known entry where the list shows that nothing changed, and
// where the value cannot be decoded; nil when there is none.
func (l *kindList) entry(kv *mvccpb.KeyValue) *entry {
	etcdKey := string(kv.Key)
	var known *entry
	if l.old != nil {
		known, _ = l.old.Get(etcdKey[len(l.kind.prefix):])
	}
	if known != nil && known.rev == kv.ModRevision && !l.regressed {
		return known
	}
	e := l.decodeEntry(l.kind, etcdKey, kv)
	if e == nil || known != nil && known.rev == e.rev && equality.Semantic.DeepEqual(known.obj, e.obj) {
		return known
	}
	return e
}

// replace makes the lists the replica's state.
func (r *Replica) replace(lists []*kindList, revision int64) {
	r.mu.Lock()
	changed := make([]*kind, len(lists))
	var changes []change
	for i, l := range lists {
		changed[i] = l.kind
		changes = append(changes, l.install(revision)...)
	}
	r.publish(revision, changed...)
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(a.revision, b.revision) })
	for _, c := range changes {
		c.kind.tell(c)
	}
	for _, l := range lists {
		l.kind.begin(r.Snapshot())
	}
	close(r.listed)
	r.listed = make(chan struct{})
	r.mu.Unlock()
	r.waits.reached(revision)
}

// install puts the list in place of the kind's objects and returns what differs
// from them. Objects that were not known at all before are no change: handlers
// learn of the first list from the snapshot.
func (l *kindList) install(revision int64) []change {
	k := l.kind
	objects, bytes := new(btree.Map[string, *entry]), int64(0)
	for _, chunk := range l.chunks {
		for _, e := range chunk {
			if e != nil {
				objects.Load(e.key, e)
				bytes += int64(e.size)
			}
		}
	}
	var changes []change
	if k.objects != nil {
		changes = l.diff(k.objects, objects, revision)
	}
	k.objects, k.bytes = objects, bytes
	for i, def := range k.defs {
		k.indexes[i] = def.build(objects)
	}
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
