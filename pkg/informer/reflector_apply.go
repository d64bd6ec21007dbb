package informer

import (
	"fmt"
	"runtime"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// apply applies a whole response and publishes one snapshot.
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
	if b.last > f.replica.Snapshot().revision { // otherwise etcd repeated old events, which proves nothing about later ones
		b.commit(b.last)
		f.complete = b.last
	}
	return f.checkLag(resp.Header.Revision, b.last)
}

// advance publishes a snapshot with the same objects at a newer revision.
func (f *reflector) advance(revision int64) {
	if revision <= f.replica.Snapshot().revision {
		return
	}
	f.replica.mu.Lock()
	f.replica.publishChanges(revision)
	f.replica.mu.Unlock()
	f.markEnqueued()
	f.replica.reached(revision)
	f.progressed = true
}

// markEnqueued records that the handlers' backlogs have every change up to the newest
// snapshot. Only Run's goroutine makes changes and calls it.
func (f *reflector) markEnqueued() { f.replica.enqueued.Store(f.replica.Snapshot()) }

// changeSet has the changes of one response, decoded before any lock is taken.
type changeSet struct {
	reflector *reflector
	changes   []change
	values    []decodedValue // of the changes, with the same indexes
	touched   map[*kind]bool
	last      int64 // the newest revision
}

// change is one change of one object.
type change struct {
	kind     *kind
	key      string
	old, new *entry // nil if there was no object before, or is none now
	revision int64
}

// decodedValue is the value of a key, decoded. kv is nil if the key was deleted.
type decodedValue struct {
	kv    *mvccpb.KeyValue
	entry *entry
	err   error
}

// decode turns events into changes. It returns an error, and makes the replica list,
// if etcd sends a change of a revision that was complete.
func (f *reflector) decode(events []*clientv3.Event) (*changeSet, error) {
	b := &changeSet{reflector: f, touched: map[*kind]bool{}, last: f.replica.Snapshot().revision}
	before := b.last
	for _, ev := range events {
		rev := ev.Kv.ModRevision
		if rev <= f.complete {
			continue // etcd may repeat events before the start of a watch from the future
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

// minDecodeChunk is the least number of values for which another goroutine pays.
const minDecodeChunk = 16

// decodeValues decodes many values on all cores. A watch that catches up receives a
// thousand revisions at once.
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

// recordValues records the decoded values in their order. An undecodable value is no
// change: the replica keeps the last good object.
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
			b.reflector.replica.undecodable(c.kind, etcdKey, v.kv.ModRevision, v.err)
			continue
		}
		b.reflector.replica.status.decodable(etcdKey)
		c.new = v.entry
		good = append(good, c)
		b.touched[c.kind] = true
	}
	b.changes, b.values = good, nil
}

// decodeEntry returns nil for an object that the replica does not keep. It reports an
// undecodable value and returns false.
func (r *Replica) decodeEntry(k *kind, etcdKey string, kv *mvccpb.KeyValue) (e *entry, ok bool) {
	e, err := r.newEntry(k, kv)
	if err != nil {
		r.undecodable(k, etcdKey, kv.ModRevision, err)
		return nil, false
	}
	r.status.decodable(etcdKey)
	return e, true
}

// newEntry returns nil for an object that the replica does not keep.
func (r *Replica) newEntry(k *kind, kv *mvccpb.KeyValue) (*entry, error) {
	etcdKey := string(kv.Key)
	obj, form, err := k.decodeKept(etcdKey, kv)
	if err == errNotKept {
		k.skipped.Add(1)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &entry{
		key: etcdKey[len(k.prefix):], obj: obj, rev: kv.ModRevision,
		sum: sumOf(kv.Value), size: len(kv.Key) + len(kv.Value), form: k.form(valueForm{form, kv.Lease != 0}),
	}, nil
}

// commit applies the changes, publishes the snapshot, and enqueues the changes for
// the handlers.
func (b *changeSet) commit(revision int64) {
	b.reflector.replica.mu.Lock()
	touched := make([]*kind, 0, len(b.touched))
	for k := range b.touched {
		if k.objects == nil { // added after the last list; the next list has it
			continue
		}
		touched = append(touched, k)
	}
	effective := b.changes[:0]
	for _, c := range b.changes {
		if c.kind.objects == nil {
			continue
		}
		c.old = c.kind.set(c.key, c.new)
		if c.old == nil && c.new == nil {
			continue
		}
		c.kind.changeCount++
		effective = append(effective, c)
	}
	b.reflector.replica.publishChanges(revision, touched...)
	handlers := handlersOf(touched)
	b.reflector.replica.mu.Unlock()
	enqueueAll(handlers, effective, revision)
	b.reflector.markEnqueued()
	b.reflector.replica.reached(revision)
}

// coalesceLimit bounds how many events of several responses are applied together.
// Most of an event's cost is the copy that the next change needs after a snapshot was
// published, so fewer snapshots are cheaper. Too many events at once would be late.
const coalesceLimit = 32

// watchResponse is one receive from a watch's channel.
type watchResponse struct {
	response clientv3.WatchResponse
	ok       bool // false if the watch has ended
}

// receive applies a response together with those that have arrived meanwhile. A replica
// that has fallen behind then publishes one snapshot for all of them.
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

// coalesce adds the events of responses that have already arrived. It returns the first
// response that is not just events; the caller handles that next.
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
