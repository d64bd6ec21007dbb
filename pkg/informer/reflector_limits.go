package informer

import (
	"fmt"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// inflowMin is how many bytes of changes may always wait to be applied: enough
// for a pause of a good part of a second at the highest rate of writes that etcd
// can do.
const pendingBytesMin = 32 << 20

// eventOverhead is about what an event costs in memory besides its key and value.
const eventOverhead = 256

// inflow is what a watch has brought and the replica has not applied yet. Etcd's
// client keeps that for as long as it takes, however much it is.
//
// Its bound is the greater of inflowMin and what the replica itself has: to
// apply more than that costs more than to list. So memory stays within a factor
// of what the replica needs anyway, and a replica that cannot keep up with the
// writes for good lists no more than half of the time, and each list gets it up
// to date. Not to read on would be no way out: the server would hold what is not
// read, and search its history for it again and again at the expense of those
// who write.
type pendingBytes struct {
	limit    int64
	bytes    atomic.Int64
	newest   atomic.Int64 // etcd's revision, as the watch told it last; 0 when nothing is told
	exceeded atomic.Bool  // the limit was passed: the watch has ended
}

// bytes is how much the replica has, in bytes of etcd's.
func (r *Replica) bytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var n int64
	for _, k := range r.kinds {
		n += k.bytes
	}
	return n
}

// newInflow returns the inflow of a watch of a replica that has so many bytes.
func newPendingBytes(held int64) *pendingBytes {
	return &pendingBytes{limit: max(pendingBytesMin, held)}
}

// take is the watch's tap: it refuses the response that passes the limit.
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

// applied is told of events that have been applied.
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

// lag tells when a watch is so far behind that a list gets the replica up to
// date sooner.
type replayBudget struct {
	limit int64 // 0 after a list, until the first watch
}

// resume is told that the next watch does not follow a list at once.
func (l *replayBudget) resume() {
	if l.limit == 0 {
		l.limit = replayLimit
	}
}

// tooFar is told how many revisions a watch is behind. Right after a list it
// never is too far: etcd went on while the list was read, and would while it was
// read again. It must then come nearer, or at least not fall back to twice as
// much.
func (l *replayBudget) exceeded(behind int64) bool {
	if l.limit == 0 {
		l.limit = max(replayLimit, 2*behind)
	}
	if behind <= replayLimit {
		l.limit = replayLimit
	}
	return behind > l.limit
}
