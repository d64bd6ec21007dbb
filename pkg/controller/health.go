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
)

// checkTimeout bounds one check of health or readiness.
const checkTimeout = 5 * time.Second

var errNoAnswer = errors.New("the check has not answered in time")

// Check says what is wrong; nil when nothing is. It must return when ctx is done:
// one that does not counts as failed, and goes on.
type Check func(ctx context.Context) error

// checks are those of a manager, in the order in which they were added.
type checks struct {
	mu            sync.Mutex
	health, ready []namedCheck
}

type namedCheck struct {
	name  string
	check Check
}

// AddHealthCheck adds a check to /healthz: one that fails says that the process
// should be restarted. It can be called at any time. The name is shown.
func (m *Manager) AddHealthCheck(name string, check Check) error {
	return m.checks.add(&m.checks.health, name, check)
}

// AddReadyCheck adds a check to /readyz: one that fails says that the process
// does not do its work at the moment. It can be called at any time. The name is
// shown.
func (m *Manager) AddReadyCheck(name string, check Check) error {
	return m.checks.add(&m.checks.ready, name, check)
}

func (c *checks) add(to *[]namedCheck, name string, check Check) error {
	if name == "" || check == nil {
		return errors.New("check: the name or the function is missing")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(*to, func(x namedCheck) bool { return x.name == name }) {
		return fmt.Errorf("check %q: there is one of that name", name)
	}
	*to = append(*to, namedCheck{name, check})
	return nil
}

func (c *checks) of(list *[]namedCheck) []namedCheck {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(*list)
}

// Healthy returns nil unless a check that was added with [Manager.AddHealthCheck]
// fails.
func (m *Manager) Healthy(ctx context.Context) error {
	_, err := runChecks(ctx, m.checks.of(&m.checks.health))
	return err
}

// Ready returns nil when the manager runs, its replicas have listed etcd and
// follow it, it can take part in its leadership and its sharding, of which all
// buckets have owners, and no check that was added with [Manager.AddReadyCheck]
// fails; otherwise an error that names all causes. A process that waits to lead
// is ready: it does all that it has to.
func (m *Manager) Ready(ctx context.Context) error {
	_, err := runChecks(ctx, m.readyChecks())
	return err
}

func (m *Manager) readyChecks() []namedCheck {
	var all []namedCheck
	for _, r := range m.allReplicas() {
		all = append(all, namedCheck{"replica " + r.name, func(context.Context) error {
			if st := r.replica.Status(); st.Running && len(st.Kinds) == 0 {
				return nil // there is nothing to list and to follow
			}
			return r.replica.Healthy(m.options.MaxLag)
		}})
	}
	all = append(all, m.coordinationChecks()...)
	return append(all, m.checks.of(&m.checks.ready)...)
}

// runChecks runs checks side by side, each for a bounded time, and tells what came
// of them in a line each.
func runChecks(ctx context.Context, all []namedCheck) (report string, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	errs := make([]error, len(all))
	answers := make(chan func(), len(all)) // whoever ignores ctx has somewhere to put its answer
	for i, c := range all {
		errs[i] = errNoAnswer
		go func() {
			err := guard("the check", func() error { return c.check(ctx) })
			answers <- func() { errs[i] = err }
		}()
	}
	for waiting := len(all); waiting > 0; waiting-- {
		select {
		case take := <-answers:
			take()
		case <-ctx.Done():
			waiting = 1
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

// serveChecks answers with 200 when all is well and with 503 when it is not, and
// with a line for each check.
func serveChecks(all func() []namedCheck) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		report, err := runChecks(req.Context(), all())
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		} else {
			report += "ok\n"
		}
		_, _ = w.Write([]byte(report)) // who has gone does not read it
	}
}
