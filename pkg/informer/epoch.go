package informer

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// epochName is the name of the epoch key below a store's prefix. It lies in no kind's
// range, since no group starts with a dot.
const epochName = ".epoch"

// epochID identifies the data of an etcd. The cluster's id alone does not, because it
// stays the same when the data is wiped.
type epochID struct {
	cluster uint64 // 0 if not known
	key     string // the epoch key's value; empty if there is none or it may not be read
}

func (r *Replica) epochKey() string { return r.store.Prefix() + epochName }

// differs returns how the epoch that was read differs from the known one, or nil. A new
// epoch key is no difference, since the first replica creates it.
func (known epochID) differs(read epochID, epochKey string) error {
	switch {
	case known.cluster != 0 && known.cluster != read.cluster:
		return fmt.Errorf("the cluster is %x, it was %x", read.cluster, known.cluster)
	case known.key != "" && read.key == "":
		return fmt.Errorf("key %s is gone", epochKey)
	case known.key != "" && known.key != read.key:
		return fmt.Errorf("key %s is %q, it was %q", epochKey, read.key, known.key)
	}
	return nil
}

// ensureEpoch creates the epoch key if a probe found none, and records its value. If the
// etcd user may not write, the replica continues without the key.
func (f *reflector) ensureEpoch(ctx context.Context, p *probe) {
	if p.epoch.key != "" || p.blind {
		return
	}
	ctx, cancel := retry.WithTimeout(ctx, f.replica.clock, f.replica.timing.answer)
	defer cancel()
	key := f.replica.epochKey()
	resp, err := etcd.Commit(ctx, f.replica.store.Client(),
		[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), "=", 0)},
		[]clientv3.Op{clientv3.OpPut(key, uuid.NewString()), clientv3.OpGet(key)},
		[]clientv3.Op{clientv3.OpGet(key)})
	if err != nil {
		if !f.noEpoch {
			f.replica.log.V(1).Info("cannot create the epoch key: a wiped or restored etcd may go unnoticed", "key", key, "cause", err.Error())
		}
		f.noEpoch = true
		return
	}
	for _, r := range resp.Responses {
		for _, kv := range r.GetResponseRange().GetKvs() {
			p.epoch.key = string(kv.Value)
		}
	}
	p.now = max(p.now, resp.Header.Revision)
}

// adoptEpoch records the epoch of the replica's data.
func (f *reflector) adoptEpoch(read epochID) {
	f.replica.mu.Lock()
	f.replica.epochID.cluster = read.cluster
	f.replica.epochID.key = cmp.Or(read.key, f.replica.epochID.key)
	f.replica.publish(f.replica.Snapshot().revision)
	f.replica.mu.Unlock()
	f.markEnqueued()
}

func isDenied(err error) bool { return errors.Is(err, rpctypes.ErrPermissionDenied) }
