package group

import (
	"context"
	"time"
)

// member is a transaction that waits for its answer. The Committer's mutex guards gone,
// the other fields change only before answered is closed.
type member struct {
	ctx   context.Context
	txn   Txn
	print footprint
	since time.Time // when it began to wait

	batch *batch // nil while it is in the queue; guarded by Committer.mu
	gone  bool   // its caller has left; guarded by Committer.mu

	// Set before answered is closed.
	answer   Answer
	err      error
	alone    bool // its caller must send it
	answered chan struct{}
}

// batch is members that go together. Its context ends when all of them have left.
type batch struct {
	members []*member
	largest int // operations of the largest member
	bytes   int
	reads   keySet
	writes  keySet

	ctx    context.Context
	cancel context.CancelFunc
	left   int  // members that have left; guarded by Committer.mu
	sent   bool // nobody can be taken out any more; guarded by Committer.mu
}

// bounds are what etcd accepts of a group.
type bounds struct {
	ops   int // members, plus the operations of the largest
	bytes int
}

// accepts reports whether m may become a member.
func (b *batch) accepts(m *member, limit bounds) bool {
	if len(b.members) == 0 {
		return true
	}
	return m.print.puts == b.members[0].print.puts &&
		len(b.members)+1+max(b.largest, m.print.ops) <= limit.ops &&
		b.bytes+m.print.bytes <= limit.bytes &&
		!b.conflicts(m.print)
}

// conflicts reports whether etcd would treat m and the members otherwise than one after
// the other.
func (b *batch) conflicts(f footprint) bool {
	return b.writes.overlaps(f.writes) || b.writes.overlaps(f.reads) || b.reads.overlaps(f.writes)
}

func (b *batch) add(m *member) {
	m.batch = b
	b.members = append(b.members, m)
	b.largest = max(b.largest, m.print.ops)
	b.bytes += m.print.bytes
	b.reads.add(m.print.reads)
	b.writes.add(m.print.writes)
}
