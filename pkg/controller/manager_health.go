package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// checkTimeout bounds the checks for one answer of /healthz or /readyz.
const checkTimeout = 5 * time.Second

var errNoAnswer = errors.New("the check has not answered in time")

// Check returns nil if all is well, and otherwise an error that says what is wrong. It
// is called for every request to /healthz or /readyz, possibly by several goroutines at
// once. It must return when ctx is done. A call that does not return then counts as
// failed, and its goroutine remains until it returns.
type Check func(ctx context.Context) error

// checks are the checks that were added to a manager.
type checks struct {
	mu            sync.Mutex // guards the fields below
	health, ready []namedCheck
}

type namedCheck struct {
	name  string
	check Check
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

func (c *checks) add(to *[]namedCheck, name string, check Check) error {
	if name == "" || check == nil {
		return errors.New("check: the name is missing or the function is nil")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(*to, func(x namedCheck) bool { return x.name == name }) {
		return fmt.Errorf("check %q: the manager has a check of that name", name)
	}
	*to = append(*to, namedCheck{name, check})
	return nil
}

func (c *checks) of(list *[]namedCheck) []namedCheck {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(*list)
}

// Healthy runs the checks added with [Manager.AddHealthCheck]. It returns nil, or an
// error that names all that failed.
func (m *Manager) Healthy(ctx context.Context) error {
	_, err := runChecks(ctx, m.settings().Clock, m.checks.of(&m.checks.health))
	return err
}

// Ready returns nil if the process can do its work, or an error that names all that
// keeps it from doing so. It is ready if
//
//   - the manager runs,
//   - its replicas have synced and are not behind etcd by more than MaxLag,
//   - with RequireDecodable, they have no values that cannot be decoded,
//   - it can take part in its leadership and its sharding,
//   - every bucket of its sharding has an owner, and
//   - no check added with [Manager.AddReadyCheck] fails.
//
// A process that waits to become the leader is ready.
func (m *Manager) Ready(ctx context.Context) error {
	_, err := runChecks(ctx, m.settings().Clock, m.readyChecks())
	return err
}

func (m *Manager) readyChecks() []namedCheck {
	var all []namedCheck
	for _, r := range m.allReplicas() {
		all = append(all, namedCheck{"replica " + r.name, func(context.Context) error {
			st := r.replica.Status()
			if st.Running && len(st.Kinds) == 0 {
				return nil // it has nothing to watch
			}
			err := r.replica.Healthy(m.settings().MaxLag)
			if m.settings().RequireDecodable {
				err = errors.Join(err, undecodableError(st))
			}
			return err
		}})
	}
	all = append(all, m.coordinationChecks()...)
	return append(all, m.checks.of(&m.checks.ready)...)
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

// runChecks runs checks concurrently, for checkTimeout at most. The report has a
// line for each; the error has all that failed.
func runChecks(ctx context.Context, c clock.WithDelayedExecution, all []namedCheck) (report string, err error) {
	ctx, cancel := retry.WithTimeout(ctx, c, checkTimeout)
	defer cancel()
	errs := make([]error, len(all))
	type answer struct {
		i   int
		err error
	}
	answers := make(chan answer, len(all)) // buffered for checks that ignore ctx
	for i, c := range all {
		errs[i] = errNoAnswer
		go func() {
			answers <- answer{i, guard("the check", func() error { return c.check(ctx) })}
		}()
	}
	for range all {
		select {
		case a := <-answers:
			errs[a.i] = a.err
		case <-ctx.Done():
		}
	}
	var b strings.Builder
	for i, c := range all {
		if errs[i] == nil {
			fmt.Fprintf(&b, "[+]%s ok\n", c.name)
			continue
		}
		fmt.Fprintf(&b, "[-]%s failed: %v\n", c.name, errs[i])
		errs[i] = fmt.Errorf("%s: %w", c.name, errs[i])
	}
	return b.String(), errors.Join(errs...)
}

// serveChecks answers with a line for each check, and with status 200 if all succeed
// or 503 if one fails.
func (m *Manager) serveChecks(all func() []namedCheck) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		report, err := runChecks(req.Context(), m.settings().Clock, all())
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		} else {
			report += "ok\n"
		}
		_, _ = w.Write([]byte(report)) // fails only if the client has gone
	}
}

// coordinationChecks are the checks of /readyz for the manager's leadership and
// sharding.
func (m *Manager) coordinationChecks() (all []namedCheck) {
	if m.election != nil {
		all = append(all, namedCheck{"leadership", func(context.Context) error { return m.Leadership().Err }})
	}
	if m.sharder != nil {
		all = append(all, namedCheck{"sharding", func(context.Context) error { return m.Sharding().problem() }})
	}
	return all
}
