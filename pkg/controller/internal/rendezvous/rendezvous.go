// Package rendezvous assigns buckets to members by highest-random-weight
// ("rendezvous") hashing.
//
// Every process computes the same assignment from the members alone, so that no
// coordinator is needed. A member that joins takes buckets for itself and moves no
// other bucket. When a member leaves, only its buckets move, spread over the rest.
//
// The hashes are part of the protocol between processes: they are the same in all
// versions of a program, on all architectures. The package does no I/O and keeps no
// state.
package rendezvous

import "iter"

// Members is a set of members, each hashed once. It is immutable: any number of
// goroutines may use it.
type Members struct {
	all   []member
	names map[string]struct{}
}

type member struct {
	name string
	hash uint64
}

// NewMembers returns the set of the named members. The order does not matter.
func NewMembers(names iter.Seq[string]) *Members {
	m := &Members{names: map[string]struct{}{}}
	for name := range names {
		if !m.Has(name) {
			m.names[name] = struct{}{}
			m.all = append(m.all, member{name: name, hash: hash(name)})
		}
	}
	return m
}

// Has reports whether the set has a member of that name.
func (m *Members) Has(name string) bool {
	_, ok := m.names[name]
	return ok
}

// Owner returns the name of the member with the highest weight for a bucket, or ""
// if there are no members.
func (m *Members) Owner(bucket int) string {
	var best string
	var highest uint64
	for _, x := range m.all {
		if w := weight(x.hash, bucket); best == "" || w > highest || w == highest && x.name > best {
			best, highest = x.name, w
		}
	}
	return best
}

// Bucket returns the bucket of a name with these parts: a number from 0 to n-1. The
// hash depends on where each part ends, so ("ab", "c") and ("a", "bc") differ.
func Bucket(n int, parts ...string) int { return int(mix(hash(parts...)) % uint64(n)) }

func weight(memberHash uint64, bucket int) uint64 { return mix(memberHash ^ mix(uint64(bucket)+1)) }

// hash is FNV-1a over the parts, with a "/" after each.
func hash(parts ...string) uint64 {
	h := uint64(14695981039346656037)
	for _, part := range parts {
		for i := range len(part) {
			h = (h ^ uint64(part[i])) * 1099511628211
		}
		h = (h ^ '/') * 1099511628211
	}
	return h
}

// mix is MurmurHash3's finalizer: it spreads a difference of few bits over all 64.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
