package group

import (
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Txn is a transaction, in the form of etcd's client.
type Txn struct {
	If         []clientv3.Cmp
	Then, Else []clientv3.Op
}

// footprint is what of a transaction decides with which others it may share a group.
type footprint struct {
	reads, writes []interval // of the conditions and of both branches
	puts          bool       // it needs space in etcd
	ops           int        // as etcd counts them
	bytes         int        // upper bound of its part of a request
}

// overhead is an upper bound of the bytes around the keys and the value of an operation.
const overhead = 64

func footprintOf(t Txn) footprint {
	f := footprint{ops: max(len(t.If), len(t.Then), len(t.Else)), bytes: overhead}
	for _, c := range t.If {
		cmp := c.GetCompare()
		f.reads = append(f.reads, interval{string(cmp.Key), string(cmp.RangeEnd)})
		f.bytes += overhead + len(cmp.Key) + len(cmp.RangeEnd) + len(cmp.GetValue())
	}
	for _, ops := range [][]clientv3.Op{t.Then, t.Else} {
		for _, op := range ops {
			f.add(op)
		}
	}
	return f
}

func (f *footprint) add(op clientv3.Op) {
	f.bytes += overhead + len(op.KeyBytes()) + len(op.RangeBytes()) + len(op.ValueBytes())
	keys := interval{string(op.KeyBytes()), string(op.RangeBytes())}
	switch {
	case op.IsGet():
		f.reads = append(f.reads, keys)
	default:
		f.writes = append(f.writes, keys)
		f.puts = f.puts || op.IsPut()
	}
}

// interval is a key, or, with an end, the keys from start up to and without end. As in
// etcd, the end "\x00" is behind all keys.
type interval struct{ start, end string }

const beyond = "\x00"

func (i interval) isKey() bool { return i.end == "" }

func (i interval) has(key string) bool {
	if i.isKey() {
		return key == i.start
	}
	return key >= i.start && (i.end == beyond || key < i.end)
}

func (i interval) overlaps(j interval) bool {
	switch {
	case i.isKey():
		return j.has(i.start)
	case j.isKey():
		return i.has(j.start)
	}
	return (i.end == beyond || j.start < i.end) && (j.end == beyond || i.start < j.end)
}

// keySet is a set of keys. The zero value is empty.
type keySet struct {
	keys   map[string]struct{}
	ranges []interval
}

func (s *keySet) add(intervals []interval) {
	if s.keys == nil {
		s.keys = map[string]struct{}{}
	}
	for _, i := range intervals {
		if i.isKey() {
			s.keys[i.start] = struct{}{}
		} else {
			s.ranges = append(s.ranges, i)
		}
	}
}

func (s *keySet) overlaps(intervals []interval) bool {
	for _, i := range intervals {
		if s.overlapsOne(i) {
			return true
		}
	}
	return false
}

func (s *keySet) overlapsOne(i interval) bool {
	for _, r := range s.ranges {
		if r.overlaps(i) {
			return true
		}
	}
	if i.isKey() {
		_, ok := s.keys[i.start]
		return ok
	}
	for key := range s.keys {
		if i.has(key) {
			return true
		}
	}
	return false
}
