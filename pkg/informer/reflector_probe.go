package informer

import (
	"context"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// sentinel is one of the newest objects of the replica. It shows whether etcd
// still has the data that was listed. Revisions alone do not show it once etcd was
// restored and its revision has grown past the replica's.
type sentinel struct {
	etcdKey string // empty if there is no sentinel
	rev     int64
	sum     uint64
}

// sumOf returns the checksum of a value, which is the same in every process.
func sumOf(value []byte) uint64 { return xxhash.Sum64(value) }

// observe makes an object the sentinel if it is at least as new.
func (w *sentinel) observe(etcdKey string, e *entry) {
	if e.rev >= w.rev {
		*w = sentinel{etcdKey, e.rev, e.sum}
	}
}

// forget drops the sentinel if its key no longer has what the replica knows.
func (w *sentinel) forget(etcdKey string) {
	if w.etcdKey == etcdKey {
		*w = sentinel{}
	}
}

// contradicts reports whether the key's state in etcd at revision now is impossible
// given what a replica at revision at knows. kv is nil if the key does not exist.
func (w sentinel) contradicts(kv *mvccpb.KeyValue, at, now int64) bool {
	switch {
	case w.etcdKey == "":
		return false
	case kv == nil:
		return now == at // otherwise it may have been deleted since
	case kv.ModRevision == w.rev:
		return sumOf(kv.Value) != w.sum
	default:
		return kv.ModRevision <= at // otherwise it may have been changed since
	}
}

// probe is one linearizable read of etcd. It shows whether etcd has lost what the
// replica has seen.
type probe struct {
	replica    *Replica
	at         int64 // the replica's revision when the probe was made
	asked      time.Time
	sentinels  []sentinel
	knownEpoch epochID
	blind      bool // the etcd user may not read the epoch key

	now    int64 // etcd's revision
	epoch  epochID
	reason string // why the replica must list; empty if it need not list
	err    error
}

func (f *reflector) newProbe() *probe {
	f.replica.mu.Lock()
	defer f.replica.mu.Unlock()
	l := &probe{replica: f.replica, at: f.replica.Snapshot().revision, asked: f.replica.clock.Now(), knownEpoch: f.replica.epochID, blind: f.blind}
	if f.sentinel.etcdKey != "" {
		l.sentinels = []sentinel{f.sentinel}
	}
	return l
}

// probeNow makes a probe and waits for its verdict.
func (f *reflector) probeNow(ctx context.Context) error {
	l := f.newProbe()
	l.run(ctx)
	return f.observe(l)
}

// observe records the result of a probe.
func (f *reflector) observe(l *probe) error {
	f.blind = l.blind
	if l.now > 0 {
		f.lastContact = f.replica.clock.Now()
	}
	if l.err == nil {
		f.replica.status.observed(l.asked, l.now, f.replica.Snapshot().revision)
	}
	switch {
	case l.reason != "":
		f.relistReason = l.reason
	case l.err == nil && l.epoch != l.knownEpoch:
		f.adoptEpoch(l.epoch)
	}
	return l.err
}

// run reads etcd. It may run beside the reflector.
func (l *probe) run(ctx context.Context) {
	kvs, err := l.read(ctx)
	if isDenied(err) && !l.blind {
		l.blind = true
		kvs, err = l.read(ctx)
	}
	if l.err = err; err != nil {
		return
	}
	if err := l.verdict(kvs); err != nil {
		l.err = fmt.Errorf("%w: etcd was wiped or restored", err)
	}
}

// verdict returns why etcd's state is impossible given what the replica has seen.
func (l *probe) verdict(kvs map[string]*mvccpb.KeyValue) error {
	if l.now < l.at {
		l.reason = reasonRegressed
		return fmt.Errorf("etcd is at revision %d, the replica at %d", l.now, l.at)
	}
	l.reason = reasonNewData
	if err := l.knownEpoch.differs(l.epoch, l.replica.epochKey()); err != nil {
		return err
	}
	for _, w := range l.sentinels {
		if w.contradicts(kvs[w.etcdKey], l.at, l.now) {
			return fmt.Errorf("key %s is not what it was at revision %d", w.etcdKey, w.rev)
		}
	}
	l.reason = ""
	return nil
}

// read reads the epoch key and the sentinels' keys.
func (l *probe) read(ctx context.Context) (map[string]*mvccpb.KeyValue, error) {
	timed, cancel := retry.WithTimeout(ctx, l.replica.clock, l.replica.timing.answer)
	defer cancel()
	var gets []clientv3.Op
	if !l.blind {
		gets = append(gets, clientv3.OpGet(l.replica.epochKey()))
	}
	for _, w := range l.sentinels {
		gets = append(gets, clientv3.OpGet(w.etcdKey))
	}
	if len(gets) == 0 { // any key of a range that the etcd user can read
		gets = append(gets, clientv3.OpGet((*l.replica.sorted.Load())[0].prefix, clientv3.WithCountOnly()))
	}
	resp, err := etcd.ReadTxn(timed, l.replica.store.Client(), gets)
	if err != nil && timed.Err() != nil {
		return nil, l.replica.unanswered(ctx, context.Cause(timed))
	}
	if err != nil {
		return nil, fmt.Errorf("read etcd's revision, with %d keys: %w", len(gets), err)
	}
	l.now, l.epoch = resp.Header.Revision, epochID{cluster: resp.Header.ClusterId}
	if l.blind {
		l.epoch.key = l.knownEpoch.key
	}
	kvs := map[string]*mvccpb.KeyValue{}
	for _, r := range resp.Responses {
		for _, kv := range r.GetResponseRange().Kvs {
			kvs[string(kv.Key)] = kv
		}
	}
	if kv := kvs[l.replica.epochKey()]; kv != nil {
		l.epoch.key = string(kv.Value)
	}
	return kvs, nil
}

// refusalTimeout is how long a stream may take to be refused.
const refusalTimeout = 2 * time.Second

// unanswered explains why etcd did not answer in time. Without a connection, a new
// stream is refused with the reason.
func (r *Replica) unanswered(ctx context.Context, err error) error {
	err = fmt.Errorf("no answer from etcd within %v: %w", r.timing.answer, err)
	ctx, cancel := retry.WithTimeout(ctx, r.clock, min(r.timing.answer, refusalTimeout))
	defer cancel()
	if _, cause := pb.NewWatchClient(r.store.Client().ActiveConnection()).Watch(ctx); cause != nil {
		return fmt.Errorf("%w (%w)", err, cause)
	}
	return err
}
