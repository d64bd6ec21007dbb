package informer

import (
	"fmt"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// pendingBytesMin is how many bytes of changes may wait in any case. At the
// highest write rate of etcd they are some tenths of a second.
const pendingBytesMin = 32 << 20

// eventOverhead is roughly the memory of an event besides its key and value.
const eventOverhead = 256

// pendingBytes counts the bytes that a watch has received and the replica has not
// applied yet. etcd's client buffers them without a bound.
//
// The limit is the greater of pendingBytesMin and the size of the replica, since
// applying more than that costs more than a list. So memory stays within a factor
// of what the replica needs anyway. A replica that can never keep up with the
// writes spends at most half of its time listing, and each list brings it up to
// date. To stop reading is no alternative: the server would hold what is not read,
// and scan its history for it again and again at the expense of writers.
//
// tap runs in the watch's goroutine, everything else in the reflector's.
type pendingBytes struct {
	limit    int64
	bytes    atomic.Int64
	newest   atomic.Int64 // the newest revision in a response; 0 before the first
	exceeded atomic.Bool  // the limit was passed: the watch has ended
}

// bytes returns the size of the replica's keys and values in etcd.
func (r *Replica) bytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var n int64
	for _, k := range r.kinds {
		n += k.totals.bytes
	}
	return n
}

// newPendingBytes returns the count for a new watch of a replica of some size.
func newPendingBytes(held int64) *pendingBytes {
	return &pendingBytes{limit: max(pendingBytesMin, held)}
}

// tap receives every response of the watch. It refuses the one that passes the
// limit, which ends the watch.
func (i *pendingBytes) tap(resp *pb.WatchResponse) error {
	if now := resp.Header.GetRevision(); now > i.newest.Load() {
		i.newest.Store(now)
	}
	n := i.bytes.Add(weigh(resp.Events))
	if n <= i.limit {
		return nil
	}
	i.exceeded.Store(true)
	return i.err()
}

func (i *pendingBytes) err() error {
	return fmt.Errorf("more than %d bytes of changes wait to be applied: listing is faster", i.limit)
}

// applied subtracts events that were applied.
func (i *pendingBytes) applied(events []*mvccpb.Event) {
	if i.newest.Load() != 0 {
		i.bytes.Add(-weigh(events))
	}
}

func weigh(events []*mvccpb.Event) int64 {
	var n int64
	for _, ev := range events {
		n += int64(eventOverhead + len(ev.Kv.GetKey()) + len(ev.Kv.GetValue()))
	}
	return n
}

// replayBudget decides when a watch is so far behind that a list is faster.
type replayBudget struct {
	limit int64 // 0 after a list, until the first watch
}

// resume starts the budget of a watch that does not follow a list.
func (l *replayBudget) resume() {
	if l.limit == 0 {
		l.limit = replayLimit
	}
}

// exceeded reports whether a watch that is some revisions behind should give way
// to a list. Right after a list it never should, since writes went on during the
// list and would during another one. The watch must then catch up, or at least
// not fall back to twice as much.
func (l *replayBudget) exceeded(behind int64) bool {
	if l.limit == 0 {
		l.limit = max(replayLimit, 2*behind)
	}
	if behind <= replayLimit {
		l.limit = replayLimit
	}
	return behind > l.limit
}
