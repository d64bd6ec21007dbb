package informer

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"golang.org/x/sync/errgroup"

	"github.com/homeostat/homeostat/pkg/internal/regular"
)

// savedState is the content of a checkpoint, for the kinds of the replica.
type savedState struct {
	header checkpointHeader
	kinds  []*savedKind
}

// savedKind has the objects of one kind.
type savedKind struct {
	kind    *kind
	objects *btree.Map[string, *entry]
	totals  totals
}

var errDamaged = errors.New("the file is damaged or cut short")

// readCheckpointFile reads a checkpoint. It returns an error if anything is wrong with
// the file.
func readCheckpointFile(ctx context.Context, path string, kinds []*kind) (*savedState, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return readCheckpoint(ctx, f, info.Size(), kinds)
}

func readCheckpoint(ctx context.Context, r io.Reader, size int64, kinds []*kind) (*savedState, error) {
	c := &checkpointReader{r: bufio.NewReaderSize(r, 64<<10), sum: xxhash.New(), left: size, kinds: kinds}
	if err := c.readHead(); err != nil {
		return nil, err
	}
	c.decoders.SetLimit(runtime.GOMAXPROCS(0))
	err := c.readBlocks(ctx)
	if decodeErr := c.decoders.Wait(); err == nil {
		err = decodeErr
	}
	if err != nil {
		return nil, err
	}
	return c.state()
}

// checkpointReader verifies the checksum of each block before it parses the block.
type checkpointReader struct {
	r     *bufio.Reader
	sum   *xxhash.Digest
	left  int64 // bytes of the file that are not read yet
	kinds []*kind

	header checkpointHeader
	byNum  []*kind // by number in the header; nil for one that the replica does not keep

	decoders errgroup.Group
	mu       sync.Mutex // guards blocks
	blocks   []savedBlock
}

type savedBlock struct {
	number  int // of the kind
	index   int // of the block
	entries []*entry
}

// readHead reads the version line and the header.
func (c *checkpointReader) readHead() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	version, isOne := strings.CutPrefix(line, checkpointMagic)
	if v, err := strconv.Atoi(version); !isOne || err != nil {
		return errors.New("the file is not a checkpoint")
	} else if v != checkpointVersion {
		return fmt.Errorf("the file has version %d of the format; this program has version %d", v, checkpointVersion)
	}
	what, payload, err := c.block()
	if err != nil {
		return err
	}
	if what != blockHeader {
		return errDamaged
	}
	if err := json.Unmarshal(payload, &c.header); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	for _, saved := range c.header.Kinds {
		i := slices.IndexFunc(c.kinds, func(k *kind) bool {
			return k.scope.whole() && k.info.GroupVersionKind == saved.groupVersionKind() && k.prefix == saved.Prefix
		})
		if c.byNum = append(c.byNum, nil); i >= 0 {
			c.byNum[len(c.byNum)-1] = c.kinds[i]
		}
	}
	return nil
}

func (c *checkpointReader) line() (string, error) {
	line := make([]byte, len(checkpointMagic)+3) // a file of another kind may have no lines
	for i := range line {
		if err := c.read(line[i : i+1]); err != nil {
			return "", err
		}
		if line[i] == '\n' {
			return string(line[:i]), nil
		}
	}
	return string(line), nil
}

// read fills a buffer.
func (c *checkpointReader) read(b []byte) error {
	if int64(len(b)) > c.left {
		return errDamaged
	}
	if _, err := io.ReadFull(c.r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errDamaged
		}
		return err
	}
	c.left -= int64(len(b))
	_, _ = c.sum.Write(b) // never fails
	return nil
}

func (c *checkpointReader) block() (what byte, payload []byte, err error) {
	head := make([]byte, blockHead)
	if err := c.read(head); err != nil {
		return 0, nil, err
	}
	length := int64(binary.LittleEndian.Uint32(head[1:]))
	if length > c.left {
		return 0, nil, errDamaged
	}
	payload = make([]byte, length)
	if err := c.read(payload); err != nil {
		return 0, nil, err
	}
	want, sum := c.sum.Sum64(), make([]byte, blockSum)
	if err := c.read(sum); err != nil {
		return 0, nil, err
	}
	if binary.LittleEndian.Uint64(sum) != want {
		return 0, nil, errDamaged
	}
	return head[0], payload, nil
}

func (c *checkpointReader) readBlocks(ctx context.Context) error {
	for index := 0; ; index++ {
		what, payload, err := c.block()
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case what == blockEnd:
			if c.left > 0 || len(payload) > 0 {
				return errDamaged
			}
			return nil
		case what != blockObjects:
			return errDamaged
		}
		c.decoders.Go(func() error { return c.decode(index, payload) })
	}
}

func (c *checkpointReader) decode(index int, payload []byte) error {
	f := blockFields{rest: payload}
	number := f.uvarint()
	if f.bad || number >= uint64(len(c.byNum)) {
		return errDamaged
	}
	b := savedBlock{number: int(number), index: index}
	k := c.byNum[number]
	if k == nil {
		return nil
	}
	for len(f.rest) > 0 {
		e, err := f.entry(k, c.header.Forms)
		if err != nil {
			return err
		}
		b.entries = append(b.entries, e)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocks = append(c.blocks, b)
	return nil
}

// state assembles the decoded blocks.
func (c *checkpointReader) state() (*savedState, error) {
	slices.SortFunc(c.blocks, func(a, b savedBlock) int { return a.index - b.index })
	s := &savedState{header: c.header}
	for number, k := range c.byNum {
		if k == nil {
			continue
		}
		saved := &savedKind{kind: k, objects: new(btree.Map[string, *entry])}
		last := ""
		for _, b := range c.blocks {
			if b.number != number {
				continue
			}
			for _, e := range b.entries {
				if e.key <= last || e.rev > c.header.Revision {
					return nil, fmt.Errorf("%w: key %s is out of order", errDamaged, k.prefix+e.key)
				}
				last = e.key
				saved.objects.Load(e.key, e)
				saved.totals.add(e)
			}
		}
		if n := c.header.Kinds[number].Objects; n != saved.objects.Len() {
			return nil, fmt.Errorf("%w: it has %d objects of kind %s, the header says %d", errDamaged, saved.objects.Len(), k.info.GroupVersionKind.Kind, n)
		}
		s.kinds = append(s.kinds, saved)
	}
	return s, nil
}

// blockFields parses the fields of a block. After a bad field it returns only zero
// values.
type blockFields struct {
	rest []byte
	bad  bool
}

func (f *blockFields) uvarint() uint64 {
	v, n := binary.Uvarint(f.rest)
	if n <= 0 {
		f.bad, f.rest = true, nil
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

func (f *blockFields) bytes(n uint64) []byte {
	if n > uint64(len(f.rest)) {
		f.bad, f.rest = true, nil
		return nil
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

func (f *blockFields) entry(k *kind, forms []valueForm) (*entry, error) {
	key := string(f.bytes(f.uvarint()))
	rev, sum, size, form := f.uvarint(), f.bytes(8), f.uvarint(), f.uvarint()
	value := f.bytes(f.uvarint())
	if f.bad || rev == 0 || rev > 1<<62 || size > 1<<40 || form >= uint64(len(forms)) {
		return nil, errDamaged
	}
	kv := &mvccpb.KeyValue{Key: []byte(k.prefix + key), Value: value, ModRevision: int64(rev)}
	obj, _, err := k.decodeKept(k.prefix+key, kv)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", k.prefix+key, err)
	}
	return &entry{key: key, obj: obj, rev: int64(rev), sum: binary.LittleEndian.Uint64(sum), size: int(size), form: k.form(forms[form])}, nil
}
