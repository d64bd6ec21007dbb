// Package lease holds the two pieces of etcd that leadership and sharding are built
// on: a lease that knows when it may have expired, and a watch of a few keys.
//
// Use [Grant] for a [Lease], attach keys to its ID, and run [Lease.Keep] until the
// lease is no longer needed or lost. Use [NewKeyWatch] and [KeyWatch.Run] to follow
// the keys that processes attach.
//
// # Guarantees
//
//   - Keep returns no later than the lease may expire, as far as the clock is right:
//     it counts from when the last successful request was sent.
//   - A KeyWatch publishes every state that lasts. It notices an etcd that was wiped
//     or restored within [CheckInterval], although etcd reports no error then.
//   - Nothing here starts a goroutine. Keep and Run end with their context.
//
// # Not guaranteed
//
//   - That a process stops in time when it loses a lease. Only a fence, a compare in
//     the write's own transaction, keeps a late write from happening.
//   - That a KeyWatch publishes states that came and went within one disturbance.
package lease

import (
	"time"

	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// RequestTimeout bounds each request to etcd: the client itself would wait for ever
// on a connection that has died in silence.
const RequestTimeout = 5 * time.Second

const firstPause, maxPause = 50 * time.Millisecond, 5 * time.Second

// NewBackoff returns the pauses between attempts to reach etcd.
func NewBackoff(c clock.Clock) *retry.Backoff { return retry.NewBackoff(c, firstPause, maxPause) }
