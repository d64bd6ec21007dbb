package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/store"
)

// writeMemory is how long a write that etcd refused keeps the process from being ready.
// It is longer than the default pause between two attempts of a reconcile.
const writeMemory = 20 * time.Minute

// writeHealth knows whether etcd refuses the manager's writes, whatever they are: because
// of an alarm, or since its user may not write.
type writeHealth struct {
	clock clock.PassiveClock
	asked func() // is called when what is known has changed

	mu     sync.Mutex // guards the fields below
	err    error      // why the last write was refused; nil if it was not
	since  time.Time  // when the first of the refused writes was
	last   time.Time  // when the last was
	number int        // of refused writes since then
}

// refusesAll reports whether etcd refused a write for a reason that other writes share.
func refusesAll(err error) bool {
	for _, cause := range []error{
		rpctypes.ErrNoSpace, rpctypes.ErrCorrupt, rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty,
		rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthFailed,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// observe learns from a write.
func (h *writeHealth) observe(w store.Write) {
	refused, written := refusesAll(w.Err), w.Err == nil && w.Replaced != nil
	if !refused && !written {
		return // it lost a race, or was not necessary
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.clock.Now()
	switch {
	case written && h.err == nil:
		return
	case written:
		h.err, h.number = nil, 0
	case h.err == nil:
		h.err, h.since, h.last, h.number = w.Err, now, now, 1
	default:
		h.err, h.last = w.Err, now
		h.number++
		return
	}
	h.asked()
}

// problem returns an error if etcd has refused all writes for some time.
func (h *writeHealth) problem() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil || h.clock.Since(h.last) > writeMemory {
		return nil
	}
	return fmt.Errorf("etcd has refused all writes since %s, %d in number: %w", h.since.Format(time.RFC3339), h.number, h.err)
}

// observeWrites returns a context whose writes tell whether etcd refuses writes.
func (m *Manager) observeWrites(ctx context.Context) context.Context {
	return store.ObserveWrites(ctx, func(w store.Write) {
		if w.Client == m.store.Client() {
			m.writes.observe(w)
		}
	})
}

// checkEtcd makes the manager not ready while etcd refuses its writes.
func (m *Manager) checkEtcd() {
	m.checks.addOwn("etcd", func(context.Context) error {
		return errors.Join(m.members.Err(), m.writes.problem())
	})
}
