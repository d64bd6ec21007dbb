package controller

import (
	"context"
	"fmt"
	"math"
	"time"

	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/informer"
)

// lagInterval is how often a process that holds a term checks that its replica follows etcd.
const lagInterval = time.Second

// minTermLag is the least that the replica may be out of date: a replica that follows etcd
// learns it every 5 s, and may wait 10 s for an answer.
const minTermLag = 15 * time.Second

// lagGuard keeps a process whose replica cannot follow etcd from holding a term, although it
// can still renew its lease. Another process may be able to follow.
type lagGuard struct {
	replica *informer.Replica
	clock   clock.WithTicker
	max     time.Duration
}

func newLagGuard(r *informer.Replica, o ManagerOptions) lagGuard {
	return lagGuard{r, o.Clock, max(2*min(o.MaxLag, math.MaxInt64/2), minTermLag)}
}

// check returns an error if the replica has been out of date for too long.
func (g lagGuard) check() error {
	st := g.replica.Status()
	switch {
	case len(st.Kinds) == 0: // it has nothing to watch
		return nil
	case !st.CurrentAt.IsZero() && st.Lag <= g.max:
		return nil
	case st.Err == nil:
		return fmt.Errorf("the replica has been out of date for more than %s", g.max)
	}
	return fmt.Errorf("the replica has been out of date for more than %s: %w", g.max, st.Err)
}

// guard ends the term when the replica has been out of date for too long. It returns when the
// term or ctx has ended. It looks twice: a process that was suspended finds its replica behind
// until the next change.
func (g lagGuard) guard(ctx context.Context, t *term) {
	ticker := g.clock.NewTicker(lagInterval)
	defer ticker.Stop()
	for late := 0; late < 2; {
		select {
		case <-ticker.C():
		case <-ctx.Done():
			return
		case <-t.context().Done():
			return
		}
		err := g.check()
		if late++; err == nil {
			late = 0
		} else if late == 2 {
			t.end(err)
		}
	}
}
