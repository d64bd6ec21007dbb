package informer

import (
	"cmp"
	"iter"
	"slices"

	"github.com/tidwall/btree"

	"github.com/homeostat/homeostat/pkg/store"
)

// Index finds the objects of one kind by values computed from each. It is
// always consistent with the snapshot that it is asked about.
type Index[T store.Object] struct {
	kind *kind
	def  *indexDef
}

// Lookup yields the objects that have a value, in the order of their keys. An
// object that has it twice is yielded once.
func (x *Index[T]) Lookup(s *Snapshot, value string) iter.Seq[T] {
	return func(yield func(T) bool) {
		for e := range s.kind(x.kind).lookup(x.def, value) {
			if !yield(e.obj.(T)) {
				return
			}
		}
	}
}

// Has reports whether the index finds an object, which may be one of no
// snapshot, by a value.
func (x *Index[T]) Has(obj T, value string) bool { return slices.Contains(x.def.values(obj), value) }

// Values yields the distinct values that objects have, in order.
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

// indexDef computes an index's values. The function is pure: it is called
// again, for an old object, to find what to take out.
type indexDef struct {
	slot   int
	values func(store.Object) []string
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

func (d *indexDef) build(objects *btree.Map[string, *entry]) *btree.BTreeG[indexItem] {
	tree := newIndexTree()
	if objects != nil {
		objects.Scan(func(_ string, e *entry) bool {
			d.insert(tree, e)
			return true
		})
	}
	return tree
}

func (d *indexDef) insert(tree *btree.BTreeG[indexItem], e *entry) {
	for _, v := range d.values(e.obj) {
		tree.Set(indexItem{v, e})
	}
}

func (d *indexDef) remove(tree *btree.BTreeG[indexItem], e *entry) {
	for _, v := range d.values(e.obj) {
		tree.Delete(indexItem{v, e})
	}
}

// items yields an index's items from one on. For a snapshot that is older than
// the index, it computes them.
func (s kindState) items(d *indexDef, from indexItem) iter.Seq[indexItem] {
	return func(yield func(indexItem) bool) {
		tree := (*btree.BTreeG[indexItem])(nil)
		if d.slot < len(s.indexes) {
			tree = s.indexes[d.slot]
		} else {
			tree = d.build(s.objects)
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
		if slices.Contains(d.values(e.obj), value) && !yield(e) {
			return
		}
	}
}
