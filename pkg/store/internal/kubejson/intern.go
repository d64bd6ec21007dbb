package kubejson

import (
	"hash/maphash"
	"sync/atomic"
)

// Interner remembers strings that come again and again, so that many objects
// share one: the names of labels, namespaces, the values of enumerations. It is of
// a fixed size and forgets one string for another. It is safe for concurrent use;
// a nil one remembers nothing.
type Interner struct {
	seed  maphash.Seed
	slots [internSlots]internSlot
}

const (
	internSlots = 4096
	// internMax is the length beyond which a string is not likely to come again.
	internMax = 64
)

// internSlot has a string, and the hash of the last one that was asked for. A
// string is remembered when it is asked for twice in a row, so that what is unique,
// such as names, costs nothing.
type internSlot struct {
	last   atomic.Uint32
	string atomic.Pointer[string]
}

// NewInterner returns an interner that remembers nothing yet.
func NewInterner() *Interner { return &Interner{seed: maphash.MakeSeed()} }

// get returns the bytes as a string.
func (i *Interner) get(b []byte) string {
	if i == nil || len(b) == 0 || len(b) > internMax {
		return string(b)
	}
	hash := maphash.Bytes(i.seed, b)
	slot := &i.slots[hash%internSlots]
	if s := slot.string.Load(); s != nil && *s == string(b) {
		return *s
	}
	s := string(b)
	if tag := uint32(hash >> 32); slot.last.Swap(tag) == tag {
		slot.string.Store(&s)
	}
	return s
}
