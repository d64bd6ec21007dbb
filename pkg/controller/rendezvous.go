package controller

import "iter"

// winner returns which of the members a bucket belongs to: the one that weighs
// most for it. A member that joins takes buckets to itself and moves no other;
// the buckets of one that leaves spread over the rest, and no other moves.
func winner(members iter.Seq[string], bucket int) string {
	var best string
	var most uint64
	for m := range members {
		if w := weight(m, bucket); best == "" || w > most || w == most && m > best {
			best, most = m, w
		}
	}
	return best
}

// weight is the same in all processes, of all versions of the program.
func weight(member string, bucket int) uint64 {
	return mix(hash(member) ^ mix(uint64(bucket)+1))
}

// bucketFor returns which of n buckets what the parts name falls into, in all
// processes, of all versions of the program.
func bucketFor(n int, parts ...string) int { return int(mix(hash(parts...)) % uint64(n)) }

// hash is FNV-1a of the parts, each with an end.
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

// mix spreads what differs in few bits over all of them.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
