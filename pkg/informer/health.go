package informer

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Healthy returns nil if the replica runs, has listed every registered kind, and was
// known to be up to date at most maxLag ago. Otherwise it returns an error that
// names the cause and can go to a readiness probe as it is. An unhealthy replica
// stays readable, and recovers by itself when it can.
//
// The lag is that of [Status]. While a replica follows etcd, the lag reaches a little
// more than 5 s, so pass a maxLag of 15 s: Healthy then fails soon after a real
// disturbance, and only then. Below 10 s it also fails now and then without one. A
// running replica that lists an added kind is healthy until its lag exceeds maxLag.
func (r *Replica) Healthy(maxLag time.Duration) error {
	st := r.Status()
	missing, lags := st.missing(), st.CurrentAt.IsZero() || st.Lag > maxLag
	var what error
	switch {
	case !st.Running:
		return errors.New("the replica does not run")
	case len(st.Kinds) == 0:
		return errors.New("the replica has no kinds")
	case len(missing) > 0 && lags:
		what = errors.New("the replica has not listed " + strings.Join(missing, ", "))
	case len(missing) == 0 && !st.Synced:
		what = fmt.Errorf("the replica started from a checkpoint, is at revision %d, and has not caught up with etcd", st.Revision)
	case lags:
		what = st.staleness()
	default:
		return nil
	}
	if st.Err != nil {
		return fmt.Errorf("%w: %w", what, st.Err)
	}
	return what
}

// staleness returns an error that says how far behind the replica is.
func (st Status) staleness() error {
	return fmt.Errorf("the replica is at revision %d, etcd at %d, with %d bytes received and not applied; "+
		"it was last known to be up to date %v ago, at %s",
		st.Revision, st.EtcdRevision, st.Unapplied, st.Lag.Round(time.Second), st.CurrentAt.Format(time.RFC3339))
}

// missing returns the prefixes of the kinds that were not listed yet.
func (st Status) missing() []string {
	var prefixes []string
	for _, k := range st.Kinds {
		if !k.Listed {
			prefixes = append(prefixes, k.Prefix)
		}
	}
	return prefixes
}
