package informer

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"github.com/tidwall/btree"

	"github.com/homeostat/homeostat/pkg/store"
)

// Index finds the objects of one kind by values that a function computes from each.
// It always matches the snapshot that is passed to its methods.
//
// If the function panics for an object, the index lacks that object until the object
// changes. This is logged once and shown in [IndexStatus].
type Index[T store.Object] struct {
	kind *kind
	def  *indexDef
}

// Lookup yields the objects that have a value, each once, in the order of their keys.
func (x *Index[T]) Lookup(s *Snapshot, value string) iter.Seq[T] {
	return func(yield func(T) bool) {
		for e := range s.kind(x.kind).lookup(x.def, value) {
			if !yield(e.obj.(T)) {
				return
			}
		}
	}
}

// Has reports whether the index's function returns value for obj. Use it to apply the
// index to an object that is in no snapshot, such as one that is about to be written.
func (x *Index[T]) Has(obj T, value string) bool {
	values, _ := x.def.valuesOf(&entry{obj: obj})
	return slices.Contains(values, value)
}

// Values yields the distinct values of all objects, in order.
func (x *Index[T]) Values(s *Snapshot) iter.Seq[string] {
	return func(yield func(string) bool) {
		last, first := "", true
		for item := range s.kind(x.kind).items(x.def, indexItem{}) {
			if !first && item.value == last {
				continue
			}
			if last, first = item.value, false; !yield(item.value) {
				return
			}
		}
	}
}

// Range yields the objects that have a value v with from <= v < to, each with that
// value, in the order of values and then of keys. If to is empty, there is no upper
// bound. An object with several values in the range is yielded once for each.
func (x *Index[T]) Range(s *Snapshot, from, to string) iter.Seq2[string, T] {
	return x.ascend(s, from, func(value string) bool { return to == "" || value < to })
}

// Prefix yields the objects that have a value with a prefix, as [Index.Range] does.
func (x *Index[T]) Prefix(s *Snapshot, prefix string) iter.Seq2[string, T] {
	return x.ascend(s, prefix, func(value string) bool { return strings.HasPrefix(value, prefix) })
}

// ascend yields the items from a value on, up to the first that is not within.
func (x *Index[T]) ascend(s *Snapshot, from string, within func(value string) bool) iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for item := range s.kind(x.kind).items(x.def, indexItem{value: from}) {
			if !within(item.value) || !yield(item.value, item.entry.obj.(T)) {
				return
			}
		}
	}
}

// indexDef computes an index's values. The function is pure: it is called again for
// an old object to find the items to remove.
type indexDef struct {
	slot   int
	values func(store.Object) []string
}

// index is the newest state of an index. It is guarded by Replica.mu.
type index struct {
	def    *indexDef
	kind   *kind
	tree   *btree.BTreeG[indexItem]
	failed map[string]indexFailure // by the keys of the objects that are left out
}

type indexFailure struct {
	rev int64
	err error
}

// indexItem is ordered by value, then by the object's key.
type indexItem struct {
	value string
	entry *entry
}

func lessItem(a, b indexItem) bool {
	if c := cmp.Compare(a.value, b.value); c != 0 || b.entry == nil {
		return c < 0
	}
	return a.entry == nil || a.entry.key < b.entry.key
}

func newIndexTree() *btree.BTreeG[indexItem] {
	return btree.NewBTreeGOptions(lessItem, btree.Options{NoLocks: true})
}

// valuesOf returns a panic of the function as an error.
func (d *indexDef) valuesOf(e *entry) (values []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			values, err = nil, &panicError{"the index's function", p}
		}
	}()
	return d.values(e.obj), nil
}

// build computes the whole index.
func (x *index) build(objects *btree.Map[string, *entry]) {
	known := x.failed
	x.tree, x.failed = newIndexTree(), nil
	if objects == nil {
		return
	}
	objects.Scan(func(_ string, e *entry) bool {
		x.insert(e, known)
		return true
	})
}

// insert adds an object. known has the failures that were logged before.
func (x *index) insert(e *entry, known map[string]indexFailure) {
	values, err := x.def.valuesOf(e)
	if err != nil {
		x.fail(e, err, known)
		return
	}
	for _, v := range values {
		x.tree.Set(indexItem{v, e})
	}
}

func (x *index) fail(e *entry, err error, known map[string]indexFailure) {
	if x.failed == nil {
		x.failed = map[string]indexFailure{}
	}
	err = x.kind.replica.withoutContent(err)
	x.failed[e.key] = indexFailure{e.rev, err}
	if f, logged := known[e.key]; !logged || f.rev != e.rev {
		x.kind.replica.log.Error(err, "index function panicked; the index lacks the object", "kind", x.kind.info.GroupVersionKind.Kind,
			"index", x.def.slot, "key", x.kind.prefix+e.key, "revision", e.rev)
	}
}

func (x *index) remove(e *entry) {
	if _, failed := x.failed[e.key]; failed {
		delete(x.failed, e.key)
		return
	}
	values, err := x.def.valuesOf(e)
	if err != nil { // though it did not before
		values = x.search(e)
	}
	for _, v := range values {
		x.tree.Delete(indexItem{v, e})
	}
}

// search finds an object's values by a scan of the whole index.
func (x *index) search(e *entry) (values []string) {
	x.tree.Scan(func(item indexItem) bool {
		if item.entry == e {
			values = append(values, item.value)
		}
		return true
	})
	return values
}

// compute returns the index for a snapshot that is older than the index.
func (d *indexDef) compute(objects *btree.Map[string, *entry]) *btree.BTreeG[indexItem] {
	tree := newIndexTree()
	if objects != nil {
		objects.Scan(func(_ string, e *entry) bool {
			values, _ := d.valuesOf(e) // it was reported when the index was added, or is of no more interest
			for _, v := range values {
				tree.Set(indexItem{v, e})
			}
			return true
		})
	}
	return tree
}

// items yields an index's items from one on. It computes them for a snapshot that is
// older than the index.
func (s kindState) items(d *indexDef, from indexItem) iter.Seq[indexItem] {
	return func(yield func(indexItem) bool) {
		tree := (*btree.BTreeG[indexItem])(nil)
		if d.slot < len(s.indexes) {
			tree = s.indexes[d.slot]
		} else {
			tree = d.compute(s.objects)
		}
		tree.Ascend(from, yield)
	}
}

func (s kindState) lookup(d *indexDef, value string) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		if d.slot >= len(s.indexes) {
			s.scan(d, value, yield)
			return
		}
		for item := range s.items(d, indexItem{value: value}) {
			if item.value != value || !yield(item.entry) {
				return
			}
		}
	}
}

func (s kindState) scan(d *indexDef, value string, yield func(*entry) bool) {
	for e := range s.list(ListOptions{}) {
		if values, _ := d.valuesOf(e); slices.Contains(values, value) && !yield(e) {
			return
		}
	}
}
