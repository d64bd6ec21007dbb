package kubejson

import (
	"hash/maphash"
	"sync/atomic"
)

// Interner caches short strings, so that objects share those that recur: label names,
// namespaces and values of enumerations. It has a fixed size: a new string replaces an
// older one. It is safe for concurrent use. A nil Interner caches nothing.
type Interner struct {
	seed  maphash.Seed
	slots [internSlots]internSlot
}

const (
	internSlots = 4096
	// internMax is the maximum length of a cached string in bytes. Longer strings rarely
	// recur.
	internMax = 64
)

// internSlot has a cached string, and a part of the hash of the last string that missed.
// A string is cached only if it misses twice in a row in its slot. Unique strings, such
// as object names, therefore replace nothing.
type internSlot struct {
	last   atomic.Uint32
	string atomic.Pointer[string]
}

// NewInterner returns an empty interner.
func NewInterner() *Interner { return &Interner{seed: maphash.MakeSeed()} }

// get returns b as a string, from the cache if it is there.
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
