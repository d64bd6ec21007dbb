package store

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/internal/sharedlease"
)

// Expire gives an object a new time to live and returns the revision of the write. See
// [Txn.Expire].
func (s *Store) Expire(ctx context.Context, obj Object, ttl time.Duration) (int64, error) {
	t := s.Txn()
	t.Expire(obj, ttl)
	return t.Commit(ctx)
}

// Expire gives an object a time to live: etcd deletes it when ttl has passed since the
// commit, without regard to finalizers. Use it for objects that somebody must renew, such
// as heartbeats, or that nobody needs for long, such as reports. It may be added to the
// transaction that creates or updates the object. On its own, Expire writes the object as
// it is: that makes a new revision.
//
// ttl is 1 second to 10 years. With 0, the object no longer has a time to live. Objects
// that are written at about the same time share a lease, so an object may live longer: by
// up to a sixth of ttl, or 2 seconds if that is more, plus 6 seconds. All other writes
// leave the time to live as it is.
//
// Commit returns a BadRequest for another ttl, and a NotFound or a Conflict as for an
// update. It grants a lease, which every etcd user may do.
func (t *Txn) Expire(obj Object, ttl time.Duration) {
	if ttl != 0 {
		if err := sharedlease.CheckTTL(ttl); err != nil {
			t.fail(apierrors.NewBadRequest(err.Error()))
			return
		}
	}
	t.add(updateVerb{}, obj, op{ttl: &ttl})
}

// leaseOption attaches the lease of the write, or keeps that of the prior value: a put
// without a lease would detach it. The compared ModRevision makes sure that the prior
// has this lease.
func (o *op) leaseOption() []clientv3.OpOption {
	id := o.lease
	if o.ttl == nil && o.prior != nil {
		id = o.prior.lease
	}
	if id == clientv3.NoLease {
		return nil
	}
	return []clientv3.OpOption{clientv3.WithLease(id)}
}

// grantLeases sets the leases of the writes that need one.
func (t *Txn) grantLeases(ctx context.Context) (err error) {
	keys := map[time.Duration]int{}
	for _, o := range t.ops {
		if o.ttl != nil && *o.ttl > 0 {
			keys[*o.ttl]++
		}
	}
	for _, o := range t.ops {
		if o.ttl == nil || *o.ttl == 0 {
			continue
		}
		if o.lease, err = t.store.leases.For(ctx, *o.ttl, keys[*o.ttl]); err != nil {
			return o.wrap(err)
		}
		keys[*o.ttl] = 0 // the others get the same
	}
	return nil
}
