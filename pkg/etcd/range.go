package etcd

import clientv3 "go.etcd.io/etcd/client/v3"

// Range is a half-open range of etcd keys, [Start, End).
//
// Functions of this package also accept what etcd accepts: with an empty End, the
// range is the one key Start; with an End of "\x00", it has no upper bound.
// Contains and [EnclosingRange] do not know these forms.
type Range struct {
	Start, End string // the first key, and the first key after the range
}

// Contains reports whether key lies in the range.
func (r Range) Contains(key string) bool { return r.Start <= key && key < r.End }

// PrefixRange returns the range of all keys that begin with prefix, which must
// not be empty.
func PrefixRange(prefix string) Range {
	return Range{Start: prefix, End: clientv3.GetPrefixRangeEnd(prefix)}
}

// KeyRange returns the range that contains key and no other key. Use it to watch or
// list a single key.
func KeyRange(key string) Range { return Range{Start: key, End: key + "\x00"} }

// EnclosingRange returns the smallest range that contains all given ranges, so that one
// watch can cover them. There must be at least one. The result may also contain keys
// that are in none of them.
func EnclosingRange(ranges ...Range) Range {
	r := ranges[0]
	for _, other := range ranges[1:] {
		r.Start, r.End = min(r.Start, other.Start), max(r.End, other.End)
	}
	return r
}
