package informer

import (
	"fmt"
	"runtime"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// apply takes in a response as a whole and publishes one snapshot.
func (f *reflector) apply(resp clientv3.WatchResponse) error {
	f.lastContact = f.replica.clock.Now()
	if resp.IsProgressNotify() {
		f.advance(resp.Header.Revision)
		return nil
	}
	if len(resp.Events) == 0 {
		return nil
	}
	b, err := f.decode(resp.Events)
	if err != nil {
		return err
	}
	f.progressed = true
	if b.last > f.replica.Snapshot().revision { // otherwise it is a repetition, which proves nothing of what came after it
		b.commit(b.last)
		f.complete = b.last
	}
	return f.checkLag(resp.Header.Revision, b.last)
}

// advance publishes a snapshot that differs from the last in its revision only.
func (f *reflector) advance(revision int64) {
	if revision <= f.replica.Snapshot().revision {
		return
	}
	f.replica.mu.Lock()
	f.replica.publish(revision)
	f.replica.mu.Unlock()
	f.markEnqueued()
	f.replica.waiters.reached(revision)
	f.progressed = true
}

// handedOn is called by Run's goroutine, which alone makes changes, when the
// handlers' backlogs have what led to the newest snapshot.
func (f *reflector) markEnqueued() { f.replica.enqueued.Store(f.replica.Snapshot()) }

// batch is the changes of one response, decoded before any lock is taken.
type changeSet struct {
	reflector *reflector
	changes   []change
	values    []decodedValue // of the changes, by their places
	touched   map[*kind]bool
	last      int64 // the newest revision
}

// change is what became of one object.
type change struct {
	kind     *kind
	key      string
	old, new *entry // nil: there was none, there is none
	revision int64
}

// value is what was put under a key; there is none when the key was deleted.
type decodedValue struct {
	kv    *mvccpb.KeyValue
	entry *entry
	err   error
}

// decode turns events into changes. It fails, and has the replica list, when
// etcd says of a revision that it was done with that something happened in it.
func (f *reflector) decode(events []*clientv3.Event) (*changeSet, error) {
	b := &changeSet{reflector: f, touched: map[*kind]bool{}, last: f.replica.Snapshot().revision}
	before := b.last
	for _, ev := range events {
		rev := ev.Kv.ModRevision
		if rev <= f.complete {
			continue // etcd may repeat what came before a watch from the future
		}
		if rev <= before || rev < b.last {
			f.relistReason = reasonDisorder
			return nil, fmt.Errorf("etcd sent a change of revision %d after revision %d: listing", rev, b.last)
		}
		b.last = rev
		b.add(ev)
	}
	b.decodeValues()
	b.recordValues()
	return b, nil
}

func (b *changeSet) add(ev *clientv3.Event) {
	etcdKey := string(ev.Kv.Key)
	k := findKind(*b.reflector.replica.sorted.Load(), etcdKey)
	if k == nil {
		b.reflector.replica.status.foreign()
		return
	}
	b.changes = append(b.changes, change{kind: k, key: etcdKey[len(k.prefix):], revision: ev.Kv.ModRevision})
	v := decodedValue{}
	if ev.Type == mvccpb.PUT {
		v.kv = ev.Kv
	}
	b.values = append(b.values, v)
}

// decodeTogether is how many values one goroutine decodes at least: fewer are
// not worth another.
const minDecodeChunk = 16

// decodeValues decodes on all cores where there is much to decode: a watch that
// catches up brings a thousand revisions at once.
func (b *changeSet) decodeValues() {
	n := len(b.values)
	workers := max(1, min(runtime.GOMAXPROCS(0), n/minDecodeChunk))
	var decoders sync.WaitGroup
	for w := 1; w < workers; w++ {
		decoders.Go(func() { b.decodeRange(n*w/workers, n*(w+1)/workers) })
	}
	b.decodeRange(0, n/workers)
	decoders.Wait()
}

func (b *changeSet) decodeRange(from, to int) {
	for i := from; i < to; i++ {
		if v := &b.values[i]; v.kv != nil {
			v.entry, v.err = b.reflector.replica.newEntry(b.changes[i].kind, v.kv)
		}
	}
}

// judgeValues takes note of what the values turned out to be, in their order. An
// undecodable one is no change: the last good object stays.
func (b *changeSet) recordValues() {
	good := b.changes[:0]
	for i, c := range b.changes {
		v, etcdKey := b.values[i], c.kind.prefix+c.key
		if v.entry != nil {
			b.reflector.sentinel.observe(etcdKey, v.entry)
		} else {
			b.reflector.sentinel.forget(etcdKey)
		}
		if v.err != nil {
			b.reflector.replica.undecodable(etcdKey, v.kv, v.err)
			continue
		}
		b.reflector.replica.status.decodable(etcdKey)
		c.new = v.entry
		good = append(good, c)
		b.touched[c.kind] = true
	}
	b.changes, b.values = good, nil
}

// decodeEntry returns nil for an object that is not kept, and false for a value
// that cannot be decoded, which it reports.
func (r *Replica) decodeEntry(k *kind, etcdKey string, kv *mvccpb.KeyValue) (e *entry, ok bool) {
	e, err := r.newEntry(k, kv)
	if err != nil {
		r.undecodable(etcdKey, kv, err)
		return nil, false
	}
	r.status.decodable(etcdKey)
	return e, true
}

func (r *Replica) undecodable(etcdKey string, kv *mvccpb.KeyValue, err error) {
	if r.status.undecodable(etcdKey, kv.ModRevision, err) {
		r.log.Error(err, "value cannot be decoded; keeping what was known of the object", "key", etcdKey, "revision", kv.ModRevision)
	}
}

// newEntry returns nil for an object that is not kept.
func (r *Replica) newEntry(k *kind, kv *mvccpb.KeyValue) (*entry, error) {
	etcdKey := string(kv.Key)
	obj, err := k.decodeKept(etcdKey, kv)
	if err == errNotKept {
		k.skipped.Add(1)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &entry{
		key: etcdKey[len(k.prefix):], obj: obj, rev: kv.ModRevision,
		sum: sumOf(kv.Value), size: len(kv.Key) + len(kv.Value),
	}, nil
}

// commit applies the changes, publishes the snapshot and tells the handlers.
func (b *changeSet) commit(revision int64) {
	b.reflector.replica.mu.Lock()
	touched := make([]*kind, 0, len(b.touched))
	for k := range b.touched {
		if k.objects == nil { // registered after the last list; the next has it
			continue
		}
		touched = append(touched, k)
	}
	told := b.changes[:0]
	for _, c := range b.changes {
		if c.kind.objects == nil {
			continue
		}
		c.old = c.kind.set(c.key, c.new)
		if c.old == nil && c.new == nil {
			continue
		}
		c.kind.changeCount++
		told = append(told, c)
	}
	b.reflector.replica.publish(revision, touched...)
	handlers := handlersOf(touched)
	b.reflector.replica.mu.Unlock()
	enqueueAll(handlers, told, revision)
	b.reflector.markEnqueued()
	b.reflector.replica.waiters.reached(revision)
}

// gatherLimit is how many events are taken in at once at most, unless etcd sends
// more at once. Publishing a snapshot has what changes next copied first, which is
// most of what an event costs; waiting for many to be decoded would make each late.
const coalesceLimit = 32

// received is what was read of a watch.
type watchResponse struct {
	response clientv3.WatchResponse
	ok       bool // the watch goes on
}

// take takes in a response, and with it those that have come meanwhile, so that a
// replica that has fallen behind publishes once for all of them.
func (f *reflector) receive(first watchResponse, more clientv3.WatchChan) error {
	for r := &first; r != nil; {
		if err := etcd.WatchError(r.response, r.ok); err != nil {
			return err
		}
		next := r.coalesce(more)
		if err := f.apply(r.response); err != nil {
			return err
		}
		f.pending.applied(r.response.Events)
		r = next
	}
	return nil
}

// gather adds the events of the responses that are there already. It returns the
// first response that tells something else, which has to come after.
func (r *watchResponse) coalesce(more clientv3.WatchChan) (next *watchResponse) {
	for len(r.response.Events) > 0 && len(r.response.Events) < coalesceLimit {
		select {
		case resp, ok := <-more:
			if !ok || resp.Err() != nil || len(resp.Events) == 0 {
				return &watchResponse{resp, ok}
			}
			r.response.Header = resp.Header
			r.response.Events = append(r.response.Events, resp.Events...)
		default:
			return nil
		}
	}
	return nil
}
