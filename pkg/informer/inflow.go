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
const inflowMin = 32 << 20

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
type inflow struct {
	limit  int64
	bytes  atomic.Int64
	newest atomic.Int64 // etcd's revision, as the watch told it last; 0 when nothing is told
	burst  atomic.Bool  // the limit was passed: the watch has ended
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
func newInflow(held int64) *inflow { return &inflow{limit: max(inflowMin, held)} }

// take is the watch's tap: it refuses the response that passes the limit.
func (i *inflow) take(resp *pb.WatchResponse) error {
	if now := resp.Header.GetRevision(); now > i.newest.Load() {
		i.newest.Store(now)
	}
	n := i.bytes.Add(weigh(resp.Events))
	if n <= i.limit {
		return nil
	}
	i.burst.Store(true)
	return i.err()
}

func (i *inflow) err() error {
	return fmt.Errorf("more than %d bytes of changes wait to be applied: listing is faster", i.limit)
}

// applied is told of events that have been applied.
func (i *inflow) applied(events []*mvccpb.Event) {
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
