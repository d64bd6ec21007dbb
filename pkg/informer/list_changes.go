package informer

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidwall/btree"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// A list of what is known already reads the keys, whose ModRevisions tell what
// has changed, and then only those values. Reading a key alone costs etcd a
// fifth of reading it with its value; reading a value by its key, two and a half
// times as much as reading it in a range. So single values are worth it where
// less than a third has changed, and stretches of which more has are read as
// ranges. Once a quarter of all is known to have changed, the rest of the keys is
// not looked at first.
const (
	// stretch is how many keys are judged together.
	segmentSize = 256
	// smallList is how many bytes of a kind are cheaper read than compared.
	smallList = 64 << 10
	// batchBytes bounds, by what is known of the values' sizes, how much is
	// asked for at once.
	batchBytes = 4 << 20
	// fetchers is how many reads of single values are under way at a time.
	concurrentReads = 4
)

var (
	errManyChanges = errors.New("enough has changed")
	errNewEpoch    = errors.New("etcd's data were replaced")
)

// worthComparing reports whether to look for what has changed. Where etcd's data
// may have been replaced, only values tell.
func (l *kindList) shouldCompareKeys() bool {
	return l.old != nil && !l.compareValues && l.kind.bytes > l.kind.replica.smallList
}

// readChanges reads what is not known yet.
func (l *kindList) readChanges(ctx context.Context, revision int64) error {
	c := newComparison(l.kind, l.old)
	_, err := etcd.List(ctx, l.kind.replica.store.Client(), etcd.PrefixRange(l.kind.prefix), revision, func(kvs []*mvccpb.KeyValue) error {
		l.countRead(kvs)
		return c.compare(kvs)
	}, clientv3.WithKeysOnly())
	if err != nil && !errors.Is(err, errManyChanges) {
		return err
	}
	c.finish(err == nil)
	l.partial, l.deleted, l.rest = true, c.deleted, c.rest
	return l.fetch(ctx, c, revision)
}

// fetch reads the values that a comparison has shown to be new.
func (l *kindList) fetch(ctx context.Context, c *comparison, revision int64) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrentReads)
	for _, r := range c.ranges {
		group.Go(func() error { return l.readRange(ctx, r, revision) })
	}
	average := l.kind.bytes / int64(max(1, l.old.Len()))
	for keys := range c.batches(average) {
		group.Go(func() error {
			kvs, err := etcd.Get(ctx, l.kind.replica.store.Client(), keys, revision)
			if err != nil {
				return err
			}
			l.countRead(kvs)
			l.decodeChunk(kvs)
			return nil
		})
	}
	return group.Wait()
}

// update applies what was read to the kind's objects.
func (l *kindList) updateObjects(revision int64) []change {
	var changes []change
	l.findDeletedInRest()
	for _, was := range l.deleted {
		l.kind.set(was.key, nil)
		changes = append(changes, change{l.kind, was.key, was, nil, revision})
	}
	for e := range l.entries() {
		if known, _ := l.kind.objects.Get(e.key); known != e {
			changes = append(changes, change{l.kind, e.key, l.kind.set(e.key, e), e, e.rev})
		}
	}
	return changes
}

// goneFromRest finds what is gone from where no keys were looked at.
func (l *kindList) findDeletedInRest() {
	if l.rest.Start == "" {
		return
	}
	read := map[string]bool{}
	for e := range l.entries() {
		read[e.key] = true
	}
	l.old.Ascend(l.rest.Start[len(l.kind.prefix):], func(key string, was *entry) bool {
		if !read[key] {
			l.deleted = append(l.deleted, was)
		}
		return true
	})
}

// comparison goes through the keys of a kind beside what is known of them, both
// in order.
type comparison struct {
	kind   *kind
	prefix string
	cursor btree.MapIter[string, *entry]
	more   bool // known stands at one that was not met yet
	total  int  // how many are known

	changed int
	deleted []*entry
	rest    etcd.Range // what was not looked at, and is to be read
	ranges  []etcd.Range
	keys    []string         // single ones whose values are to be read
	sizes   map[string]int64 // of what is known of them

	last        string   // the last key
	first       string   // of the present stretch
	length      int      // of it, in keys
	changedKeys []string // in it
	dense       bool     // the stretch before it is the last range
}

func newComparison(k *kind, old *btree.Map[string, *entry]) *comparison {
	c := &comparison{kind: k, prefix: k.prefix, cursor: old.Iter(), total: old.Len(), sizes: map[string]int64{}}
	c.more = c.cursor.First()
	return c
}

// take compares the next keys. It fails when enough has changed to read the rest
// as it is, and when etcd has older values than are known.
func (c *comparison) compare(kvs []*mvccpb.KeyValue) error {
	for _, kv := range kvs {
		key := string(kv.Key)
		if kept, _ := c.kind.keeps(key[len(c.prefix):]); !kept {
			continue
		}
		known := c.find(key[len(c.prefix):])
		if known != nil && kv.ModRevision < known.rev {
			return fmt.Errorf("key %s is of revision %d, it was of revision %d: %w", key, kv.ModRevision, known.rev, errNewEpoch)
		}
		c.add(key, known, known == nil || known.rev != kv.ModRevision)
	}
	if 4*c.changed > c.total {
		return errManyChanges
	}
	return nil
}

// find returns what is known of a key. What lies between it and the key before
// is gone.
func (c *comparison) find(key string) *entry {
	for c.more && c.cursor.Key() < key {
		c.deleted = append(c.deleted, c.cursor.Value())
		c.more = c.cursor.Next()
	}
	if !c.more || c.cursor.Key() != key {
		return nil
	}
	known := c.cursor.Value()
	c.more = c.cursor.Next()
	return known
}

func (c *comparison) add(key string, known *entry, changed bool) {
	if c.length == segmentSize {
		c.closeSegment(key)
	}
	if c.length == 0 {
		c.first = key
	}
	c.last = key
	c.length++
	if changed {
		c.changed++
		c.changedKeys = append(c.changedKeys, key)
		if known != nil {
			c.sizes[key] = int64(known.size)
		}
	}
}

// closeStretch decides how to read what is new in a stretch that ends before a
// key.
func (c *comparison) closeSegment(end string) {
	dense := 3*len(c.changedKeys) > c.length
	switch {
	case !dense:
		c.keys = append(c.keys, c.changedKeys...)
	case c.dense:
		c.ranges[len(c.ranges)-1].End = end
	default:
		c.ranges = append(c.ranges, etcd.Range{Start: c.first, End: end})
	}
	c.dense, c.length, c.changedKeys = dense, 0, nil
}

// end is called after the last key that is looked at, which may be the last of
// all.
func (c *comparison) finish(all bool) {
	end := etcd.PrefixRange(c.prefix).End
	if !all {
		c.rest = etcd.Range{Start: c.last + "\x00", End: end}
		c.closeSegment(c.rest.Start)
		c.ranges = append(c.ranges, c.rest)
		return
	}
	c.closeSegment(end)
	for c.more {
		c.deleted = append(c.deleted, c.cursor.Value())
		c.more = c.cursor.Next()
	}
}

// batches yields the single keys in parts to be read at once. A value of which
// nothing is known counts as an average one.
func (c *comparison) batches(average int64) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		from, bytes := 0, int64(0)
		for i, key := range c.keys {
			size, ok := c.sizes[key]
			if !ok {
				size = average
			}
			if i > from && (i-from == etcd.MaxGetKeys || bytes+size > batchBytes) {
				if !yield(c.keys[from:i]) {
					return
				}
				from, bytes = i, 0
			}
			bytes += size
		}
		if from < len(c.keys) {
			yield(c.keys[from:])
		}
	}
}
