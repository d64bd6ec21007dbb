// Package sharedlease grants etcd leases that many keys share.
//
// A lease costs etcd memory, and a record in its log for each grant. Keys that are
// written within one window of time and live about equally long can have the same one.
package sharedlease

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/etcd"
)

const (
	// MinTTL and MaxTTL bound the time to live of keys. Ten years are far below etcd's
	// own limit.
	MinTTL = time.Second
	MaxTTL = 10 * 365 * 24 * time.Hour

	// grace is how long the write that follows the grant of a lease may take.
	grace = 5 * time.Second

	// maxKeys is how many keys get the same lease. etcd deletes them in one transaction.
	maxKeys = 1000
)

// Leases grants leases. It needs no closing: its leases expire. It is safe for
// concurrent use.
type Leases struct {
	client *clientv3.Client
	clock  clock.PassiveClock

	turn  chan struct{} // has one element, for the goroutine that may use byTTL
	byTTL map[time.Duration]lease
}

type lease struct {
	id      clientv3.LeaseID
	granted time.Time // when the request that granted it was sent
	keys    int
}

// New returns leases of a client. It sends nothing to etcd.
func New(client *clientv3.Client, clock clock.PassiveClock) *Leases {
	l := &Leases{client: client, clock: clock, turn: make(chan struct{}, 1), byTTL: map[time.Duration]lease{}}
	l.turn <- struct{}{}
	return l
}

// CheckTTL returns an error that says which times to live are possible.
func CheckTTL(ttl time.Duration) error {
	if ttl < MinTTL || ttl > MaxTTL {
		return fmt.Errorf("time to live %s: must be at least %s and at most %s", ttl, MinTTL, MaxTTL)
	}
	return nil
}

// For returns a lease for some keys that are written now. A key with this lease lives at
// least for ttl. It may live longer: by up to a sixth of ttl, or two seconds if that
// is more, plus 6 seconds.
func (l *Leases) For(ctx context.Context, ttl time.Duration, keys int) (clientv3.LeaseID, error) {
	if err := CheckTTL(ttl); err != nil {
		return clientv3.NoLease, err
	}
	select {
	case <-l.turn:
		defer func() { l.turn <- struct{}{} }()
	case <-ctx.Done():
		return clientv3.NoLease, ctx.Err()
	}
	ttl = roundUp(ttl)
	now, window := l.clock.Now(), max(ttl/10, time.Second)
	if current, ok := l.byTTL[ttl]; ok && now.Sub(current.granted) < window && current.keys+keys <= maxKeys {
		current.keys += keys
		l.byTTL[ttl] = current
		return current.id, nil
	}
	seconds := int64((ttl + window + grace + time.Second - 1) / time.Second)
	var resp *clientv3.LeaseGrantResponse
	err := etcd.Retry(ctx, l.client, func(ctx context.Context) (err error) {
		resp, err = l.client.Grant(ctx, seconds)
		return err
	})
	if err != nil {
		return clientv3.NoLease, fmt.Errorf("grant a lease of %d s: %w", seconds, etcd.ExplainError(err))
	}
	l.forgetOld(now)
	l.byTTL[ttl] = lease{resp.ID, now, keys}
	return resp.ID, nil
}

// roundUp adds at most a second or a twentieth of ttl. So there are few leases even if each
// key has another time to live, such as the time until midnight.
func roundUp(ttl time.Duration) time.Duration {
	unit := time.Second
	for ttl > 200*unit {
		unit *= 10
	}
	return (ttl + unit - 1) / unit * unit
}

// forgetOld removes the leases that For no longer returns.
func (l *Leases) forgetOld(now time.Time) {
	for ttl, old := range l.byTTL {
		if now.Sub(old.granted) >= max(ttl/10, time.Second) {
			delete(l.byTTL, ttl)
		}
	}
}

// Forget makes For grant new leases. Call it if etcd does not know a lease: the process
// was suspended, or etcd was restored.
func (l *Leases) Forget() {
	<-l.turn
	clear(l.byTTL)
	l.turn <- struct{}{}
}
