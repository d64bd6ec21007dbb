package informer

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// kindList is a list of one kind while it is read. The goroutine that reads owns it;
// decoders share only what mu guards.
type kindList struct {
	kind          *kind
	old           *btree.Map[string, *entry] // the objects before; nil at first
	compareValues bool                       // equal revisions do not prove equal values
	decodeAll     bool                       // decode every value again

	stall     clock.Timer
	decoders  errgroup.Group
	bytesRead atomic.Int64

	// partial says that only values that were not known yet are read.
	partial bool
	deleted []*entry   // if partial: known objects that no longer exist
	rest    etcd.Range // if partial: the range read as a whole; its deletions are found at the end

	mu     sync.Mutex // guards chunks and bad while the decoders run
	chunks [][]*entry
	bad    map[string]bool // the etcd keys whose values cannot be decoded
}

// newKindList is called with Replica.mu held.
func newKindList(k *kind) *kindList {
	l := &kindList{kind: k, bad: map[string]bool{}}
	if k.objects != nil {
		l.old = k.objects.Copy()
	}
	l.decoders.SetLimit(runtime.GOMAXPROCS(0))
	return l
}

// read lists the kind and decodes on all cores while it reads.
func (l *kindList) read(ctx context.Context, revision int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := l.kind.replica
	l.stall = r.clock.AfterFunc(r.timing.stall, cancel)
	defer l.stall.Stop()
	err := l.readKind(ctx, revision)
	_ = l.decoders.Wait() // its functions return no errors
	if err != nil && !l.stall.Stop() {
		return fmt.Errorf("nothing from etcd for %v: %w", r.timing.stall, err)
	}
	return err
}

func (l *kindList) readKind(ctx context.Context, revision int64) error {
	if l.shouldCompareKeys() {
		return l.readChanges(ctx, revision)
	}
	return l.readRange(ctx, etcd.PrefixRange(l.kind.prefix), revision)
}

func (l *kindList) readRange(ctx context.Context, r etcd.Range, revision int64) error {
	_, err := etcd.List(ctx, l.kind.replica.store.Client(), r, revision, func(kvs []*mvccpb.KeyValue) error {
		l.countRead(kvs)
		l.decodeChunk(kvs)
		return nil
	})
	return err
}

// countRead counts bytes from etcd and resets the stall timer.
func (l *kindList) countRead(kvs []*mvccpb.KeyValue) {
	l.stall.Reset(l.kind.replica.timing.stall)
	n := 0
	for _, kv := range kvs {
		n += len(kv.Key) + len(kv.Value)
	}
	l.bytesRead.Add(int64(n))
}

// decodeChunk decodes values in a goroutine of their own.
func (l *kindList) decodeChunk(kvs []*mvccpb.KeyValue) {
	chunk := make([]*entry, len(kvs))
	l.mu.Lock()
	l.chunks = append(l.chunks, chunk)
	l.mu.Unlock()
	l.decoders.Go(func() error {
		for i, kv := range kvs {
			chunk[i] = l.entry(kv)
		}
		return nil
	})
}

// entry returns the known entry if the value has not changed or does not decode. It
// compares checksums too, since a restored etcd can repeat a revision. It returns nil
// if there is no known entry or the replica does not keep the object.
func (l *kindList) entry(kv *mvccpb.KeyValue) *entry {
	etcdKey := string(kv.Key)
	var known *entry
	if l.old != nil {
		known, _ = l.old.Get(etcdKey[len(l.kind.prefix):])
	}
	if known != nil && !l.decodeAll && known.rev == kv.ModRevision && known.sum == sumOf(kv.Value) {
		return known
	}
	if e, ok := l.kind.replica.decodeEntry(l.kind, etcdKey, kv); ok {
		return e
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bad[etcdKey] = true
	return known
}

// entries yields the decoded objects.
func (l *kindList) entries() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for _, chunk := range l.chunks {
			for _, e := range chunk {
				if e != nil && !yield(e) {
					return
				}
			}
		}
	}
}

// install makes the list the kind's objects and returns the difference to the objects
// before. The first list is no difference: handlers receive it as initial objects.
func (l *kindList) install(revision int64, w *sentinel) []change {
	install := l.replaceObjects
	if l.partial {
		install = l.updateObjects
	}
	changes := install(revision)
	l.kind.replica.status.onlyUndecodable(l.kind.prefix, l.isUndecodable)
	l.kind.objects.Scan(func(_ string, e *entry) bool {
		if e.rev >= w.rev && !l.bad[l.kind.prefix+e.key] {
			w.observe(l.kind.prefix+e.key, e)
		}
		return true
	})
	return changes
}

// isUndecodable reports whether a key still has the value of a revision, and that value
// does not decode. A list does not read known values again, such as one from the
// checkpoint of a program that could decode it.
func (l *kindList) isUndecodable(etcdKey string, revision int64) bool {
	known, _ := l.kind.objects.Get(etcdKey[len(l.kind.prefix):])
	return l.bad[etcdKey] || known != nil && known.rev == revision
}

// replaceObjects replaces the kind's objects by those of the list.
func (l *kindList) replaceObjects(revision int64) []change {
	objects, sums := new(btree.Map[string, *entry]), totals{}
	for e := range l.entries() {
		l.kind.replica.mutations.add(l.kind, e)
		objects.Load(e.key, e)
		sums.add(e)
	}
	var changes []change
	if l.kind.objects != nil {
		changes = l.diff(l.kind.objects, objects, revision)
	}
	l.kind.replica.mutations.replace(l.kind, func(e *entry) bool {
		is, _ := objects.Get(e.key)
		return is == e
	})
	l.kind.objects, l.kind.totals = objects, sums
	for _, x := range l.kind.indexes {
		x.build(objects)
	}
	return changes
}

// diff returns the changes from old to objects. The revision of a missed deletion is
// lost; the change has the list's revision instead.
func (l *kindList) diff(old, objects *btree.Map[string, *entry], revision int64) []change {
	var changes []change
	old.Scan(func(key string, was *entry) bool {
		if _, ok := objects.Get(key); !ok {
			changes = append(changes, change{l.kind, key, was, nil, revision})
		}
		return true
	})
	objects.Scan(func(key string, is *entry) bool {
		if was, _ := old.Get(key); !was.same(is) {
			changes = append(changes, change{l.kind, key, was, is, is.rev})
		}
		return true
	})
	return changes
}
