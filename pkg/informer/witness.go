package informer

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// witness is the newest object that the replica has. It tells whether etcd is
// still the one that was listed: revisions alone do not, once etcd's data were
// replaced and its revision has grown past the replica's.
type witness struct {
	etcdKey string // empty when there is none
	rev     int64
	sum     uint64
}

// see makes an object the witness if it is newer.
func (w *witness) see(etcdKey string, e *entry) {
	if e.rev >= w.rev {
		*w = witness{etcdKey, e.rev, e.sum}
	}
}

// lose is told of a key that no longer has what the replica knows.
func (w *witness) lose(etcdKey string) {
	if w.etcdKey == etcdKey {
		*w = witness{}
	}
}

// contradicts reports whether what the key has, in an etcd at revision now,
// cannot follow from what a replica at revision at knows; nil when the key has
// nothing.
func (w witness) contradicts(kv *mvccpb.KeyValue, seed maphash.Seed, at, now int64) bool {
	switch {
	case w.etcdKey == "":
		return false
	case kv == nil:
		return now == at // otherwise it may have been deleted since
	case kv.ModRevision == w.rev:
		return maphash.Bytes(seed, kv.Value) != w.sum
	default:
		return kv.ModRevision <= at // otherwise it may have been changed since
	}
}

// look is a look at etcd, to see whether it has lost what the replica has seen.
type look struct {
	*Replica
	at      int64 // the replica's revision before etcd was asked
	asked   time.Time
	witness witness

	now    int64  // etcd's revision
	reason string // why the replica must list; empty if it need not
	err    error
}

func (f *reflector) newLook() *look {
	return &look{Replica: f.Replica, at: f.Snapshot().revision, asked: f.clock.Now(), witness: f.witness}
}

// verify takes a look and waits for what it shows.
func (f *reflector) verify(ctx context.Context) error {
	l := f.newLook()
	l.take(ctx)
	return f.seen(l)
}

// seen takes note of what a look has shown.
func (f *reflector) seen(l *look) error {
	if l.now > 0 {
		f.contact = f.clock.Now()
	}
	if l.err == nil {
		f.status.told(l.asked, l.now, f.Snapshot().revision)
	}
	if l.reason != "" {
		f.reason = l.reason
	}
	return l.err
}

// take asks etcd, linearizably. It may run beside the reflector.
func (l *look) take(ctx context.Context) {
	var kv *mvccpb.KeyValue
	if l.witness.etcdKey == "" {
		l.now, l.err = l.revision(ctx)
	} else {
		kv, l.err = l.readWitness(ctx)
	}
	switch {
	case l.err != nil:
	case l.now < l.at:
		l.reason = reasonRegressed
		l.err = fmt.Errorf("etcd is at revision %d, the replica at %d: etcd was wiped or restored", l.now, l.at)
	case l.witness.contradicts(kv, l.seed, l.at, l.now):
		l.reason = reasonReplaced
		l.err = fmt.Errorf("key %s is not what it was at revision %d: etcd's data were replaced", l.witness.etcdKey, l.witness.rev)
	}
}

func (l *look) readWitness(ctx context.Context) (*mvccpb.KeyValue, error) {
	timed, cancel := context.WithTimeout(ctx, l.timing.answer)
	defer cancel()
	resp, err := l.store.Client().Get(timed, l.witness.etcdKey)
	if err != nil && timed.Err() != nil {
		return nil, l.unanswered(ctx, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", l.witness.etcdKey, err)
	}
	l.now = resp.Header.Revision
	if len(resp.Kvs) == 0 {
		return nil, nil
	}
	return resp.Kvs[0], nil
}
