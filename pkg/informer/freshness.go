package informer

import "time"

// freshness is what is known of how far the replica is behind etcd.
type freshness struct {
	etcd    int64     // the newest of etcd's revisions that is known
	current time.Time // whatever was written before is in the newest snapshot

	// Etcd, asked at this time, was at this revision, which the replica has not
	// reached yet. It is the oldest such question: were it the newest, a replica
	// that is always a little behind would never seem to come nearer.
	asked   time.Time
	pending int64
}

// told is told etcd's revision, as of a linearizable read that began at asked,
// while the replica was at revision at. A revision may be lower than one before:
// etcd may have been wiped or restored.
func (f *freshness) told(asked time.Time, revision, at int64) {
	f.reached(at)
	f.etcd = revision
	switch {
	case revision <= at:
		f.current = asked
	case f.pending == 0:
		f.asked, f.pending = asked, revision
	}
}

// reached is told the replica's revision.
func (f *freshness) reached(at int64) {
	if f.pending != 0 && at >= f.pending {
		f.current, f.pending = f.asked, 0
	}
}

// listed is told of a list at a revision that was read at asked. What was known
// before was perhaps of an etcd that is no more.
func (f *freshness) listed(asked time.Time, revision int64) {
	*f = freshness{etcd: revision, current: asked}
}
