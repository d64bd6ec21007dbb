package informer

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/homeostat/homeostat/pkg/store"
)

// Status is the state of a replica; see [Replica.Status].
type Status struct {
	// Running says that Run was called and has not returned.
	Running bool
	// Synced says that there are registered kinds and all were listed. If the replica
	// started from a checkpoint, it also says that it has caught up with etcd.
	Synced bool

	// Revision is that of the newest snapshot. It is 0 before the first list, and
	// for a checkpoint of data that etcd has lost. EtcdRevision is the newest
	// revision of etcd that the replica knows of. It counts the writes of all
	// clients, to any key: the revisions between the two may not concern the
	// replica.
	Revision, EtcdRevision int64
	// CurrentAt is the last time at which the replica is known to have been up to
	// date: the newest snapshot has everything that was written before. Lag is
	// the time since. Both are zero before the first list and, if the replica
	// started from a checkpoint, until it has caught up. A replica that follows
	// etcd checks this every 5 s, so its Lag reaches a little more than 5 s even
	// if it gets every change at once.
	CurrentAt time.Time
	Lag       time.Duration
	// Unapplied estimates the memory, in bytes, of the changes that the watch has
	// received and the newest snapshot lacks. If it exceeds the greater of 32 MiB
	// and the size of the replica, the replica relists.
	Unapplied int64

	// Err is what keeps the replica from following etcd, and StaleSince is when
	// it last heard from etcd before that. They are nil and zero while it follows.
	// If a connection dies without notice, this takes seconds to show.
	Err        error
	StaleSince time.Time
	// Failures counts lists that failed, and watches that ended or could not be
	// opened. LastErr is the last such error, at LastErrAt; both stay after
	// a recovery.
	Failures  int64
	LastErr   error
	LastErrAt time.Time

	// Kinds are the registered kinds, in the order of registration.
	Kinds []KindStatus
	// Relists counts the lists by reason, including the first list.
	Relists map[string]int64
	// ListsInFull and ListsOfChanges count the lists of single kinds: those that
	// read every value, and those that read keys and then the changed values.
	// ListBytes counts the bytes of keys and values that they read.
	ListsInFull, ListsOfChanges, ListBytes int64
	// Checkpoint is the state of the file of Options.Checkpoint.
	Checkpoint CheckpointStatus
	// Watches counts the attempts to open a watch.
	Watches int64
	// Foreign counts events of keys that lie between those of the kinds and belong
	// to none. The watch delivers them, and the replica drops them.
	Foreign int64
	// Undecodable has the keys with values that cannot be decoded, and the errors.
	Undecodable map[string]error
}

// KindStatus is the state of one kind in a [Status].
type KindStatus struct {
	// Group, Version and Kind name the kind. Prefix is the prefix of its etcd keys.
	Group, Version, Kind, Prefix string
	// Listed says that the newest snapshot has the kind.
	Listed bool
	// Objects counts the objects. Bytes is their size in etcd: keys and encoded
	// values.
	Objects int
	Bytes   int64
	// Forms counts the objects by the form in which etcd has them. A migration with
	// [store.Rewrite] is complete when only the wanted form is left.
	Forms map[store.Form]int
	// Changes counts the changes that the replica applied, including those that
	// relists found, but not the objects of the first list.
	Changes int64
	// Undecodable counts the keys of [Status.Undecodable] that belong to the kind.
	Undecodable int
	// Skipped counts the values that etcd sent of objects outside the kind's
	// [Scope].
	Skipped int64
	// Backlogs has the number of undelivered changes of each handler.
	Backlogs []int
	// Indexes are the kind's indexes, in the order in which they were added.
	Indexes []IndexStatus
}

// IndexStatus is the state of one index in a [KindStatus].
type IndexStatus struct {
	// Items counts the values of all objects.
	Items int
	// Failed has the keys of the objects for which the index's function panicked,
	// and the errors. The index lacks these objects.
	Failed map[string]error
}

// Status returns the state of the replica. It is meant for health checks and
// metrics; it is too expensive for each reconcile.
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
		ks := KindStatus{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Prefix: k.prefix, Bytes: k.totals.bytes, Forms: k.totals.byForm(), Skipped: k.skipped.Load(), Changes: k.changeCount}
		if k.objects != nil {
			ks.Listed, ks.Objects = true, k.objects.Len()
		}
		for key := range st.Undecodable {
			if strings.HasPrefix(key, k.prefix) {
				ks.Undecodable++
			}
		}
		for _, q := range k.handlers {
			ks.Backlogs = append(ks.Backlogs, q.pending())
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

// statusKeeper holds what the replica's goroutines report.
type statusKeeper struct {
	// badKeys is the length of bad, for a look without the lock.
	badKeys atomic.Int64

	mu       sync.Mutex // guards the fields below
	now      Status
	fresh    freshness
	pending  *pendingBytes // of the newest watch
	bad      map[string]undecodable
	reports  []*undecodableReport // of the keys in bad, and of those that were there since the last log line
	resolved []string             // keys in bad that leave it when the next snapshot is published
	waiting  map[string][]*decodableWaiter
	released []*decodableWaiter // to be called once no lock is held
}

// copy returns the status of a replica that is at revision at.
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

// failed records a failure, and reports whether it is the first in a row.
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

// recovered records a recovery, and reports whether there was a failure.
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

// observed records etcd's revision; see [freshness.observed].
func (k *statusKeeper) observed(asked time.Time, revision, at int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fresh.observed(asked, revision, at)
}

// caughtUp records that a list was applied.
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

// freshness tracks how far the replica is behind etcd.
type freshness struct {
	etcd    int64     // the newest revision of etcd that is known
	current time.Time // the newest snapshot has everything that was written before

	// At the time asked, etcd was at the revision pending, which the replica has
	// not reached yet. This is the oldest such read. With the newest, a replica
	// that is always a little behind would never count as current.
	asked   time.Time
	pending int64
}

// observed records etcd's revision from a linearizable read that began at asked,
// when the replica is at revision at. A revision may be lower than an earlier one if
// etcd was wiped or restored.
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

// reached records the replica's revision.
func (f *freshness) reached(at int64) {
	if f.pending != 0 && at >= f.pending {
		f.current, f.pending = f.asked, 0
	}
}

// listed records a list at a revision that was read at asked. It discards earlier
// records, which may be of data that etcd has lost.
func (f *freshness) listed(asked time.Time, revision int64) {
	*f = freshness{etcd: revision, current: asked}
}
