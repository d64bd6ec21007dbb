package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// requestTimeout bounds one attempt to write, with the request for a lease.
const requestTimeout = 5 * time.Second

// write stores Events in one transaction. Nobody else writes them, so the transaction has
// no conditions, and may be repeated after an unknown outcome.
func (w *writer) write(ctx context.Context, batch []write) error {
	ctx, cancel := retry.WithTimeout(ctx, w.recorder.clock, requestTimeout)
	defer cancel()
	err := w.put(ctx, batch)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		w.leases.Forget() // the process was suspended, or etcd was restored
		err = w.put(ctx, batch)
	}
	if err != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return fmt.Errorf("no answer in time: %w", err)
	}
	return err
}

func (w *writer) put(ctx context.Context, batch []write) error {
	lease, err := w.leases.For(ctx, w.recorder.options.TTL, len(batch))
	if err != nil {
		return fmt.Errorf("write %d events: %w", len(batch), err)
	}
	puts := make([]clientv3.Op, 0, len(batch))
	for _, b := range batch {
		value, err := json.Marshal(b.event)
		if err != nil {
			return fmt.Errorf("encode event %s/%s: %w", b.event.Namespace, b.event.Name, err)
		}
		key := w.recorder.keys + b.event.Namespace + "/" + b.event.Name
		puts = append(puts, clientv3.OpPut(key, string(value), clientv3.WithLease(lease)))
	}
	err = etcd.Retry(ctx, w.recorder.options.Client, func(ctx context.Context) error {
		_, err := w.recorder.options.Client.Txn(ctx).Then(puts...).Commit()
		return err
	})
	if err != nil {
		return fmt.Errorf("write %d events, the first being %s%s/%s: %w",
			len(batch), w.recorder.keys, batch[0].event.Namespace, batch[0].event.Name, err)
	}
	return nil
}
