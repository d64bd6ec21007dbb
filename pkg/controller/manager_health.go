package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/homeostat/homeostat/pkg/informer"
)

// Check returns nil if all is well, and otherwise an error that says what is wrong. It
// is called for a request to /healthz or /readyz, and for [Manager.Healthy] and
// [Manager.Ready], in a goroutine of its own.
//
// One call of a check runs at a time. Requests that come while it runs get its result;
// nobody gets the result of a call that has ended. ctx is done after 5 seconds, whether
// or not those who asked still wait. A call that does not return then counts as failed
// until it returns: the answers to requests come without further delay, and say since
// when the call has run.
type Check func(ctx context.Context) error

// checks are the checks that were added to a manager.
type checks struct {
	mu            sync.Mutex    // guards the fields below
	own           []*namedCheck // of /readyz: what the manager itself checks
	health, ready []*namedCheck // added by users
}

// AddHealthCheck adds a check to /healthz, and to [Manager.Healthy]. A failure means
// that the process should be restarted. The name appears in the answer, and must
// differ from those of the other health checks. Checks may be added at any time.
func (m *Manager) AddHealthCheck(name string, check Check) error {
	return m.checks.add(&m.checks.health, name, check)
}

// AddReadyCheck adds a check to /readyz, and to [Manager.Ready]. A failure means
// that the process cannot do its work at the moment. The name appears in the answer,
// and must differ from those of the other ready checks. Checks may be added at any
// time.
func (m *Manager) AddReadyCheck(name string, check Check) error {
	return m.checks.add(&m.checks.ready, name, check)
}

func (c *checks) add(to *[]*namedCheck, name string, check Check) error {
	if name == "" || check == nil {
		return errors.New("check: the name is missing or the function is nil")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(*to, func(x *namedCheck) bool { return x.name == name }) {
		return fmt.Errorf("check %q: the manager has a check of that name", name)
	}
	*to = append(*to, newCheck(name, check))
	return nil
}

// addOwn adds a check that the manager itself makes.
func (c *checks) addOwn(name string, check Check) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = append(c.own, newCheck(name, check))
}

func (c *checks) of(list *[]*namedCheck) []*namedCheck {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(*list)
}

// Healthy runs the checks added with [Manager.AddHealthCheck]. It returns nil, or an
// error that names all that failed.
func (m *Manager) Healthy(ctx context.Context) error {
	_, err := m.askAll(ctx, m.checks.of(&m.checks.health))
	return err
}

// Ready returns nil if the process can do its work, or an error that names all that
// keeps it from doing so. It is ready if
//
//   - the manager runs,
//   - its replicas have synced and are not behind etcd by more than MaxLag,
//   - with RequireDecodable, they have no values that cannot be decoded,
//   - it can take part in its leadership and its sharding,
//   - every bucket of its sharding has an owner,
//   - etcd accepts writes: it has no alarm, and has not refused the last write because of
//     an alarm or a missing permission, and
//   - no check added with [Manager.AddReadyCheck] fails.
//
// A process that waits to become the leader is ready.
//
// An alarm of etcd, such as NOSPACE, makes all processes not ready: none can do its work,
// and a rollout stops that would otherwise call a program good that can write nothing.
// It shows within half a minute, or within seconds after a refused write, and so does its
// end. It does not make them unhealthy, since a restart does not help: with the
// probes of Kubernetes, use /readyz as the readiness probe and only /healthz as the
// liveness probe. A process that is not ready gets no requests through a Service; if it
// also serves what can be read without etcd's writes, serve that on another
// Service with publishNotReadyAddresses. A database that is nearly full does not count:
// a warning is logged once an hour. The metrics that begin with homeostat_etcd_ show
// all of these.
func (m *Manager) Ready(ctx context.Context) error {
	_, err := m.askAll(ctx, m.readyChecks())
	return err
}

func (m *Manager) readyChecks() []*namedCheck {
	return append(m.checks.of(&m.checks.own), m.checks.of(&m.checks.ready)...)
}

// checkReplica makes the manager not ready while one of its replicas is not.
func (m *Manager) checkReplica(name string, r *informer.Replica) {
	m.checks.addOwn("replica "+name, func(context.Context) error {
		st := r.Status()
		if st.Running && len(st.Kinds) == 0 {
			return nil // it has nothing to watch
		}
		err := r.Healthy(m.settings().MaxLag)
		if m.settings().RequireDecodable {
			err = errors.Join(err, undecodableError(st))
		}
		return err
	})
}

// checkCoordination makes the manager not ready while it cannot take part in its
// leadership or its sharding.
func (m *Manager) checkCoordination() {
	if m.election != nil {
		m.checks.addOwn("leadership", func(context.Context) error { return m.Leadership().Err })
	}
	if m.sharder != nil {
		m.checks.addOwn("sharding", func(context.Context) error { return m.Sharding().problem() })
	}
}

// undecodableError names each kind with undecodable values, their number and one key.
// It returns nil if there are none.
func undecodableError(st informer.Status) error {
	var errs []error
	for _, k := range st.Kinds {
		if k.Undecodable == 0 {
			continue
		}
		example := ""
		for key := range st.Undecodable {
			if strings.HasPrefix(key, k.Prefix) && (example == "" || key < example) {
				example = key
			}
		}
		errs = append(errs, fmt.Errorf("%d values of kind %s cannot be decoded, such as %s: %w", k.Undecodable, k.Kind, example, st.Undecodable[example]))
	}
	return errors.Join(errs...)
}
