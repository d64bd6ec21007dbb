package informer

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/store"
)

// A checkpoint is a line that names the format and its version, then blocks: the
// header, the objects, the end. A block has a type (one byte), the length of its
// content (four bytes), its content, and the checksum (eight bytes) of everything
// before it in the file. Integers are little-endian.
//
// A block of objects has the number of their kind in the header. For each object, in
// the order of keys, it has the key, the ModRevision, the checksum of the value in
// etcd, its size there, the number of its form in the header, and the value as the
// store encodes it. Lengths and numbers other than checksums are uvarints.
const (
	checkpointMagic   = "homeostat checkpoint "
	checkpointVersion = 3

	blockHeader  = 'h'
	blockObjects = 'o'
	blockEnd     = 'e'

	blockHead = 5
	blockSum  = 8

	// objectsPerBlock and bytesPerBlock end a block of objects.
	objectsPerBlock = 512
	bytesPerBlock   = 512 << 10

	// checkpointSentinels is how many of the newest objects are compared with etcd
	// before a checkpoint is used.
	checkpointSentinels = 16
)

type checkpointHeader struct {
	Cluster     uint64 // etcd's id of the cluster
	Epoch       string
	Prefix      string // the store's
	Program     string // identifies the program that decoded the objects
	Revision    int64
	Written     time.Time
	Kinds       []checkpointKind
	Forms       []valueForm
	Sentinels   []checkpointSentinel
	Undecodable []checkpointUndecodable
	Withheld    bool // the reasons in Undecodable have no content of values
}

type checkpointKind struct {
	Group, Version, Kind string
	Prefix               string
	Objects              int
}

func (k checkpointKind) groupVersionKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Kind}
}

type checkpointSentinel struct {
	Key      string
	Revision int64
	Sum      uint64
}

type checkpointUndecodable struct {
	Key      []byte // may be anything
	Revision int64
	Reason   string
}

// checkpointWriter writes blocks, each with the checksum of all that is before it.
type checkpointWriter struct {
	w   io.Writer
	sum *xxhash.Digest
	n   int64
}

func newCheckpointWriter(w io.Writer) *checkpointWriter {
	return &checkpointWriter{w: w, sum: xxhash.New()}
}

func (w *checkpointWriter) write(b []byte) error {
	_, _ = w.sum.Write(b) // never fails
	n, err := w.w.Write(b)
	w.n += int64(n)
	return err
}

func (w *checkpointWriter) block(kind byte, payload []byte) error {
	head := binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	if err := w.write(head); err != nil {
		return err
	}
	if err := w.write(payload); err != nil {
		return err
	}
	return w.write(binary.LittleEndian.AppendUint64(nil, w.sum.Sum64()))
}

// write writes the checkpoint. Several goroutines encode objects at once.
func (c *pendingCheckpoint) write(ctx context.Context, w *checkpointWriter, workers int) error {
	head := c.header()
	header, err := json.Marshal(head)
	if err != nil {
		return err
	}
	if err := w.write(fmt.Appendf(nil, "%s%d\n", checkpointMagic, checkpointVersion)); err != nil {
		return err
	}
	if err := w.block(blockHeader, header); err != nil {
		return err
	}
	for batches := range inGroups(c.batches(head.Forms), workers) {
		blocks := make([][]byte, len(batches))
		var group errgroup.Group
		for i, b := range batches {
			group.Go(func() (err error) {
				blocks[i], err = b.encode()
				return err
			})
		}
		if err := cmp.Or(group.Wait(), ctx.Err()); err != nil {
			return err
		}
		for _, block := range blocks {
			if err := w.block(blockObjects, block); err != nil {
				return err
			}
		}
	}
	return w.block(blockEnd, nil)
}

func (c *pendingCheckpoint) header() checkpointHeader {
	r := c.snapshot.replica
	h := checkpointHeader{
		Cluster: c.snapshot.epochID.cluster, Epoch: c.snapshot.epochID.key, Prefix: r.store.Prefix(), Program: r.program(),
		Revision: c.snapshot.revision, Written: c.taken, Sentinels: c.sentinels(), Withheld: r.store.Encrypts(),
	}
	for _, k := range c.kinds {
		gvk := k.info.GroupVersionKind
		h.Kinds = append(h.Kinds, checkpointKind{
			Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Prefix: k.prefix, Objects: c.snapshot.kind(k).len(),
		})
	}
	h.Forms = c.forms()
	for key, u := range c.undecodable {
		h.Undecodable = append(h.Undecodable, checkpointUndecodable{[]byte(key), u.revision, u.err.Error()})
	}
	return h
}

// sentinels returns the newest objects, the newest first.
func (c *pendingCheckpoint) sentinels() []checkpointSentinel {
	var newest []checkpointSentinel
	for _, k := range c.kinds {
		for e := range c.snapshot.kind(k).list(ListOptions{}) {
			if len(newest) == checkpointSentinels && e.rev <= newest[len(newest)-1].Revision {
				continue
			}
			if _, bad := c.undecodable[k.prefix+e.key]; bad {
				continue
			}
			i, _ := slices.BinarySearchFunc(newest, e.rev, func(w checkpointSentinel, rev int64) int { return cmp.Compare(rev, w.Revision) })
			newest = slices.Insert(newest, i, checkpointSentinel{k.prefix + e.key, e.rev, e.sum})
			newest = newest[:min(len(newest), checkpointSentinels)]
		}
	}
	return newest
}

// objectBatch is the objects of one block.
type objectBatch struct {
	kind    *kind
	number  int
	forms   map[valueForm]int // by their numbers in the header
	entries []*entry
}

// forms returns the forms of the objects.
func (c *pendingCheckpoint) forms() (forms []valueForm) {
	seen := map[*valueForm]bool{}
	for _, k := range c.kinds {
		for e := range c.snapshot.kind(k).list(ListOptions{}) {
			if !seen[e.form] {
				seen[e.form] = true
				forms = append(forms, e.storedForm())
			}
		}
	}
	return forms
}

func (c *pendingCheckpoint) batches(forms []valueForm) iter.Seq[objectBatch] {
	numbers := map[valueForm]int{}
	for i, form := range forms {
		numbers[form] = i
	}
	return func(yield func(objectBatch) bool) {
		for i, k := range c.kinds {
			b, bytes := objectBatch{kind: k, number: i, forms: numbers}, 0
			for e := range c.snapshot.kind(k).list(ListOptions{}) {
				b.entries = append(b.entries, e)
				if bytes += e.size; bytes < bytesPerBlock && len(b.entries) < objectsPerBlock {
					continue
				}
				if !yield(b) {
					return
				}
				b.entries, bytes = nil, 0
			}
			if len(b.entries) > 0 && !yield(b) {
				return
			}
		}
	}
}

// inGroups yields the elements of a sequence in groups of n.
func inGroups[T any](seq iter.Seq[T], n int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		var some []T
		for x := range seq {
			if some = append(some, x); len(some) < n {
				continue
			}
			if !yield(some) {
				return
			}
			some = nil
		}
		if len(some) > 0 {
			yield(some)
		}
	}
}

func (b objectBatch) encode() ([]byte, error) {
	block := binary.AppendUvarint(nil, uint64(b.number))
	for _, e := range b.entries {
		value, err := b.kind.encodeValue(e.obj)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", b.kind.prefix+e.key, err)
		}
		block = binary.AppendUvarint(block, uint64(len(e.key)))
		block = append(block, e.key...)
		block = binary.AppendUvarint(block, uint64(e.rev))
		block = binary.LittleEndian.AppendUint64(block, e.sum)
		block = binary.AppendUvarint(block, uint64(e.size))
		block = binary.AppendUvarint(block, uint64(b.forms[e.storedForm()]))
		block = binary.AppendUvarint(block, uint64(len(value)))
		block = append(block, value...)
	}
	return block, nil
}

// encodeValue turns a panic into an error, as decodeKept does.
func (k *kind) encodeValue(obj store.Object) (value []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("encoding panicked: %v", k.replica.panicText(p))
		}
	}()
	return k.encode(obj)
}
