package informer

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Healthy returns nil when the replica runs, has listed every registered kind,
// and was known to be up to date no longer ago than maxLag; otherwise an error
// that names the cause, which may go to a readiness probe as it is. A replica
// that is not healthy stays readable, and recovers by itself when it can.
//
// See [Status] for what Lag counts. One that follows etcd comes to little more
// than 5 s, so 15 s tells of trouble alone and tells soon; a bound below 10 s
// fails now and then although nothing is wrong. A replica that runs takes in a
// kind that is added by a list, and is healthy meanwhile unless that makes it lag.
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
		what = fmt.Errorf("the replica began with a checkpoint, is at revision %d, and has not caught up with etcd", st.Revision)
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

// staleness says how far behind the replica is.
func (st Status) staleness() error {
	return fmt.Errorf("the replica is at revision %d, etcd at %d, with %d bytes received and not applied; "+
		"it was last known to be up to date %v ago, at %s",
		st.Revision, st.EtcdRevision, st.Unapplied, st.Lag.Round(time.Second), st.CurrentAt.Format(time.RFC3339))
}

// missing is the prefixes that were not listed yet.
func (st Status) missing() []string {
	var prefixes []string
	for _, k := range st.Kinds {
		if !k.Listed {
			prefixes = append(prefixes, k.Prefix)
		}
	}
	return prefixes
}
