package informer

import (
	"maps"
	"strings"
	"sync"
	"time"
)

// Status tells how a replica fares.
type Status struct {
	// Running says that Run was called and has not returned.
	Running bool
	// Synced says that there are registered kinds, that each was listed, and that
	// the replica has caught up if it began with a checkpoint.
	Synced bool

	// Revision is the newest snapshot's; 0 before the first list, and while that
	// is of a checkpoint that was taken of other data. EtcdRevision is
	// the newest of etcd's that the replica knows of. It counts the writes of
	// everybody, also of keys that the replica does not hold: those between the
	// two may be none of its concern.
	Revision, EtcdRevision int64
	// CurrentAt is the last time at which the replica is known to have been up to
	// date: whatever was written before is in the newest snapshot. Lag is how
	// long ago that is. They are zero before the first list or, where the replica
	// began with a checkpoint, before it has caught up. A replica that
	// follows etcd looks every 5 s, so its lag goes up to that, and some more,
	// although it has every change at once.
	CurrentAt time.Time
	Lag       time.Duration
	// Unapplied is about how much memory, in bytes, the changes take that the
	// watch has brought and that are not in the newest snapshot yet. When they
	// pass the greater of 32 MiB and what the replica holds, it lists.
	Unapplied int64

	// Err is what keeps the replica from following etcd, and StaleSince when it
	// last heard from etcd before that; nil and zero while it follows. That a
	// connection died in silence is noticed within seconds, not at once.
	Err        error
	StaleSince time.Time
	// Failures counts what went wrong: lists that failed, and watches that ended
	// or could not be opened. LastErr is the last such error, and LastErrAt when
	// it happened; they stay when the replica has recovered.
	Failures  int64
	LastErr   error
	LastErrAt time.Time

	// Kinds has the registered kinds, in the order of their registration.
	Kinds []KindStatus
	// Relists counts the lists by their reasons, the first included.
	Relists map[string]int64
	// ListsInFull and ListsOfChanges count the lists of single kinds: those that
	// read every value, and those that read the keys and then what had changed.
	// ListBytes is how much they have read, keys and values.
	ListsInFull, ListsOfChanges, ListBytes int64
	// Checkpoint tells of the file that Options.Checkpoint asks for.
	Checkpoint CheckpointStatus
	// Watches counts how often a watch was opened.
	Watches int64
	// Foreign counts events of keys that lie between the kinds' and are none of
	// theirs: work for nothing.
	Foreign int64
	// Undecodable has the keys whose values cannot be decoded, with the reason.
	Undecodable map[string]error
}

// KindStatus is one kind's part of a [Status].
type KindStatus struct {
	// Group, Version and Kind name the kind, and Prefix where it is stored.
	Group, Version, Kind, Prefix string
	// Listed says that the newest snapshot has the kind.
	Listed bool
	// Objects and Bytes count what the replica has; bytes as in etcd, keys and
	// encoded values.
	Objects int
	Bytes   int64
	// Changes counts the changes of objects that the replica took in, those that
	// a list has found included, but not the objects of the first list.
	Changes int64
	// Undecodable counts the keys of [Status.Undecodable] that are the kind's.
	Undecodable int
	// Skipped counts the values that etcd has sent of objects which are not kept,
	// see [Scope]: work for nothing, save that they were not decoded.
	Skipped int64
	// Backlogs has, for each handler, how many changes it was not told yet.
	Backlogs []int
	// Indexes has the kind's indexes, in the order in which they were added.
	Indexes []IndexStatus
}

// IndexStatus is one index's part of a [KindStatus].
type IndexStatus struct {
	// Items counts the values of all objects.
	Items int
	// Failed has the keys of the objects that are left out, because the index's
	// function panicked for them, with the reason.
	Failed map[string]error
}

// Status returns how the replica fares. It is meant for health checks and
// metrics, not for every reconcile.
func (r *Replica) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.Snapshot().revision
	st := r.status.copy(at, r.clock.Now())
	if st.Running = r.running; !st.Running {
		st.Unapplied = 0 // what a watch has brought is gone with it
	}
	st.Synced = len(r.kinds) > 0 && r.unlisted(len(r.kinds)) == nil && !r.catchingUp
	for _, k := range r.kinds {
		gvk := k.info.GroupVersionKind
		ks := KindStatus{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Prefix: k.prefix, Bytes: k.bytes, Skipped: k.skipped.Load(), Changes: k.changeCount}
		if k.objects != nil {
			ks.Listed, ks.Objects = true, k.objects.Len()
		}
		for key := range st.Undecodable {
			if strings.HasPrefix(key, k.prefix) {
				ks.Undecodable++
			}
		}
		for _, l := range k.handlers {
			ks.Backlogs = append(ks.Backlogs, l.pending())
		}
		for _, x := range k.indexes {
			ks.Indexes = append(ks.Indexes, x.status())
		}
		st.Kinds = append(st.Kinds, ks)
	}
	return st
}

func (x *index) status() IndexStatus {
	st := IndexStatus{Items: x.tree.Len(), Failed: make(map[string]error, len(x.failed))}
	for key, f := range x.failed {
		st.Failed[x.kind.prefix+key] = f.err
	}
	return st
}

// statusKeeper holds what Run notes down.
type statusKeeper struct {
	mu      sync.Mutex // guards all that follows
	now     Status
	fresh   freshness
	pending *pendingBytes // of the newest watch
	bad     map[string]undecodable
}

type undecodable struct {
	revision int64
	err      error
}

// copy is told the replica's revision, and the time.
func (k *statusKeeper) copy(at int64, now time.Time) Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	st := k.now
	k.fresh.reached(at)
	st.Revision, st.EtcdRevision, st.CurrentAt = at, max(at, k.fresh.etcd), k.fresh.current
	if !st.CurrentAt.IsZero() {
		st.Lag = now.Sub(st.CurrentAt)
	}
	if k.pending != nil {
		st.EtcdRevision = max(st.EtcdRevision, k.pending.newest.Load())
		st.Unapplied = k.pending.bytes.Load()
	}
	st.Relists = maps.Clone(k.now.Relists)
	st.Undecodable = make(map[string]error, len(k.bad))
	for key, u := range k.bad {
		st.Undecodable[key] = u.err
	}
	return st
}

// failed reports whether this failure, of now, is the first in a row.
func (k *statusKeeper) failed(since, now time.Time, err error) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pending != nil {
		k.fresh.etcd = max(k.fresh.etcd, k.pending.newest.Load())
		k.pending = nil
	}
	k.now.Failures++
	k.now.LastErr, k.now.LastErrAt = err, now
	first := k.now.Err == nil
	if first {
		k.now.StaleSince = since
	}
	k.now.Err = err
	return first
}

// recovered reports whether something had failed.
func (k *statusKeeper) recovered() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	had := k.now.Err != nil
	k.now.Err, k.now.StaleSince = nil, time.Time{}
	return had
}

func (k *statusKeeper) opening(in *pendingBytes) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now.Watches++
	k.pending = in
}

// told is told etcd's revision, as of a read that began at asked.
func (k *statusKeeper) observed(asked time.Time, revision, at int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fresh.observed(asked, revision, at)
}

// caughtUp is told that a list was taken in.
func (k *statusKeeper) caughtUp(asked time.Time, revision int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pending = nil
	k.fresh.listed(asked, revision)
}

func (k *statusKeeper) listed(reason string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now.Relists == nil {
		k.now.Relists = map[string]int64{}
	}
	k.now.Relists[reason]++
}

func (k *statusKeeper) kindListed(ofChanges bool, bytes int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if ofChanges {
		k.now.ListsOfChanges++
	} else {
		k.now.ListsInFull++
	}
	k.now.ListBytes += bytes
}

func (k *statusKeeper) foreign() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now.Foreign++
}

// undecodable reports whether this value of the key is a new one to complain
// about.
func (k *statusKeeper) undecodable(key string, revision int64, err error) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.bad == nil {
		k.bad = map[string]undecodable{}
	}
	known, ok := k.bad[key]
	k.bad[key] = undecodable{revision, err}
	return !ok || known.revision != revision
}

func (k *statusKeeper) decodable(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.bad, key)
}

// onlyUndecodable forgets the keys below a prefix whose values, as of a revision,
// are none any more that cannot be decoded.
func (k *statusKeeper) onlyUndecodable(prefix string, still func(key string, revision int64) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, u := range k.bad {
		if strings.HasPrefix(key, prefix) && !still(key, u.revision) {
			delete(k.bad, key)
		}
	}
}

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
func (f *freshness) observed(asked time.Time, revision, at int64) {
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
