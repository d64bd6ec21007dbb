package events

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/utils/clock"
)

// leases grants leases for Events. All that are written within a slice of
// time, a tenth of their lifetime, share one, so that about a dozen leases stand
// at a time. It is for one goroutine.
type leases struct {
	client  clientv3.Lease
	clock   clock.PassiveClock
	slice   time.Duration // a lease is used for this long
	seconds int64         // and expires so long after it was granted

	id    clientv3.LeaseID // NoLease when there is none
	asked time.Time        // when it was asked for, which is before it was granted
}

// newLeases works out how long a lease must live: a write made at the end of its
// slice, that took as long as it may, is to have the whole of the TTL left.
func newLeases(o Options) *leases {
	slice := max(o.TTL/10, time.Second)
	life := o.TTL + slice + requestTime
	return &leases{client: o.Client, clock: o.Clock, slice: slice, seconds: int64((life + time.Second - 1) / time.Second)}
}

// current returns the lease for what is written now.
func (l *leases) current(ctx context.Context) (clientv3.LeaseID, error) {
	now := l.clock.Now()
	if l.id != clientv3.NoLease && now.Sub(l.asked) < l.slice {
		return l.id, nil
	}
	resp, err := l.client.Grant(ctx, l.seconds)
	if err != nil {
		return clientv3.NoLease, err
	}
	l.id, l.asked = resp.ID, now
	return l.id, nil
}

// forget has the next write ask for a new lease.
func (l *leases) forget() { l.id = clientv3.NoLease }
