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

// To relist a kind it already holds, the replica reads keys first and fetches only
// values whose ModRevision changed. Reading a key alone costs etcd a fifth of reading
// it with its value. Reading a value by its key costs two and a half times as much as
// reading it in a range. So the replica reads single values where less than a third of
// a segment has changed, and whole ranges elsewhere. Once a quarter of all objects has
// changed, it reads the rest without comparing keys.
const (
	// segmentSize is how many keys are read in the same way.
	segmentSize = 256
	// smallList is the size in bytes up to which a kind is read without comparing keys.
	smallList = 64 << 10
	// batchBytes bounds the estimated size in bytes of one read of single values.
	batchBytes = 4 << 20
	// concurrentReads bounds the reads of single values at a time.
	concurrentReads = 4
)

var (
	errManyChanges = errors.New("enough has changed")
	errNewEpoch    = errors.New("etcd's data were replaced")
)

// shouldCompareKeys reports whether to read keys first. After a restore only values
// show what has changed.
func (l *kindList) shouldCompareKeys() bool {
	return l.old != nil && !l.compareValues && l.kind.totals.bytes > l.kind.replica.smallList
}

// readChanges reads keys, and then the values that have changed.
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

// fetch reads the values that a comparison found changed.
func (l *kindList) fetch(ctx context.Context, c *comparison, revision int64) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrentReads)
	for _, r := range c.ranges {
		group.Go(func() error { return l.readRange(ctx, r, revision) })
	}
	average := l.kind.totals.bytes / int64(max(1, l.old.Len()))
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

// updateObjects applies the values read to the kind's objects.
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

// findDeletedInRest finds the deletions in the range whose keys were not compared.
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

// comparison walks the keys in etcd and the known objects of a kind together, both in
// order.
type comparison struct {
	kind   *kind
	prefix string
	cursor btree.MapIter[string, *entry]
	more   bool // cursor is at an object that was not reached yet
	total  int  // number of known objects

	changed int
	deleted []*entry
	rest    etcd.Range // the range that was not compared
	ranges  []etcd.Range
	keys    []string         // single keys to read
	sizes   map[string]int64 // the known sizes of their values

	last        string   // the last key compared
	first       string   // the first key of the present segment
	length      int      // its length in keys
	changedKeys []string // its changed keys
	dense       bool     // the segment before it is the last of ranges
}

func newComparison(k *kind, old *btree.Map[string, *entry]) *comparison {
	c := &comparison{kind: k, prefix: k.prefix, cursor: old.Iter(), total: old.Len(), sizes: map[string]int64{}}
	c.more = c.cursor.First()
	return c
}

// compare compares the next keys. It returns errManyChanges if the rest should be read
// without comparing, and errNewEpoch if etcd has an older value than is known.
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

// find returns the known object of a key. Known objects between the previous key and
// this one were deleted.
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

// closeSegment decides how to read the changes of a segment, which ends before a key.
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

// finish is called after the last compared key. all says that it is the kind's last.
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

// batches yields the single keys in groups to read together. A value of unknown size
// counts as average.
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
