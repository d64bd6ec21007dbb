package informer

import (
	"maps"
	"strings"
	"sync"
	"time"
)

// Status tells how a replica fares.
type Status struct {
	// Revision is the newest snapshot's; 0 before the first list.
	Revision int64
	// Synced says that every registered kind was listed.
	Synced bool
	// Err is what keeps the replica from following etcd, and StaleSince when it
	// last heard from etcd before that; nil and zero while it follows. That a
	// connection died in silence is noticed within seconds, not at once.
	Err        error
	StaleSince time.Time
	// Kinds has the registered kinds, in the order of their registration.
	Kinds []KindStatus
	// Relists counts the lists by their reasons, the first included.
	Relists map[string]int64
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
	// Kind and Prefix name the kind and where it is stored.
	Kind, Prefix string
	// Objects and Bytes count what the replica has; bytes as in etcd, keys and
	// encoded values.
	Objects int
	Bytes   int64
	// Backlogs has, for each handler, how many changes it was not told yet.
	Backlogs []int
}

// Status returns how the replica fares. It is meant for health checks and
// metrics, not for every reconcile.
func (r *Replica) Status() Status {
	st := r.status.copy()
	r.mu.Lock()
	defer r.mu.Unlock()
	st.Revision = r.Snapshot().revision
	st.Synced = len(r.kinds) > 0 && r.unlisted(len(r.kinds)) == nil
	for _, k := range r.kinds {
		ks := KindStatus{Kind: k.info.GroupVersionKind.Kind, Prefix: k.prefix, Bytes: k.bytes}
		if k.objects != nil {
			ks.Objects = k.objects.Len()
		}
		for _, l := range k.listeners {
			ks.Backlogs = append(ks.Backlogs, l.pending())
		}
		st.Kinds = append(st.Kinds, ks)
	}
	return st
}

// statusKeeper holds what Run notes down.
type statusKeeper struct {
	mu  sync.Mutex
	now Status
	bad map[string]undecodable
}

type undecodable struct {
	revision int64
	err      error
}

func (k *statusKeeper) copy() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	st := k.now
	st.Relists = maps.Clone(k.now.Relists)
	st.Undecodable = make(map[string]error, len(k.bad))
	for key, u := range k.bad {
		st.Undecodable[key] = u.err
	}
	return st
}

// failed reports whether this failure is the first in a row.
func (k *statusKeeper) failed(since time.Time, err error) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
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

func (k *statusKeeper) opening() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now.Watches++
}

func (k *statusKeeper) listed(reason string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now.Relists == nil {
		k.now.Relists = map[string]int64{}
	}
	k.now.Relists[reason]++
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

// onlyUndecodable forgets the keys below a prefix that are not among those that
// a list has found undecodable.
func (k *statusKeeper) onlyUndecodable(prefix string, bad map[string]bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range k.bad {
		if strings.HasPrefix(key, prefix) && !bad[key] {
			delete(k.bad, key)
		}
	}
}
