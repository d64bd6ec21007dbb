package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Leader waits until all members that run and are not isolated agree on a leader among
// them, and returns its index. Call it after Stop, Isolate or Heal. Until the members have
// noticed the change, a write may be lost on its way to the old leader, and its client
// waits 5 s for the outcome.
//
// Leader returns an error when the context ends, and at once if those members are no
// majority.
func (c *Cluster) Leader(ctx context.Context) (int, error) {
	tick := time.NewTicker(pollPause)
	defer tick.Stop()
	for {
		i, err := c.leader()
		if i >= 0 || err != nil {
			return i, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return -1, fmt.Errorf("wait for a leader: %w", ctx.Err())
		}
	}
}

// leader returns -1 if the members do not agree.
func (c *Cluster) leader() (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	able := c.quorum()
	if able == nil {
		return -1, errors.New("no leader: no majority of members runs and is connected")
	}
	lead := able[0].process.etcd.Server.Leader()
	for _, m := range able {
		if m.process.etcd.Server.Leader() != lead {
			return -1, nil
		}
	}
	for _, m := range able {
		if m.id == lead {
			return m.index, nil
		}
	}
	return -1, nil
}
