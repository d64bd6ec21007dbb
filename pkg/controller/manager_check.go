package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// checkTimeout bounds a run of a check, and the wait of a probe for it.
const checkTimeout = 5 * time.Second

// namedCheck is a check that runs at most once at a time. All who ask while it runs
// get the result of that run.
type namedCheck struct {
	name  string
	check Check

	mu  sync.Mutex // guards the field below
	run *checkRun  // nil while the check does not run
}

// checkRun is one run of a check.
type checkRun struct {
	since time.Time
	done  chan struct{} // closed when the check has returned
	err   error         // its result; to be read when done is closed
}

func newCheck(name string, check Check) *namedCheck { return &namedCheck{name: name, check: check} }

// join returns the run of the check that is under way, or starts one. A run has a
// context of its own, since it answers several probes.
func (n *namedCheck) join(ctx context.Context, c clock.WithDelayedExecution, now time.Time) *checkRun {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.run != nil {
		return n.run
	}
	run := &checkRun{since: now, done: make(chan struct{})}
	n.run = run
	ctx, cancel := retry.WithTimeout(context.WithoutCancel(ctx), c, checkTimeout)
	go func() {
		defer cancel()
		run.err = guard("the check", func() error { return n.check(ctx) })
		n.mu.Lock()
		defer n.mu.Unlock()
		n.run = nil
		close(run.done)
	}()
	return run
}

// result waits for the result of a run until ctx is done. It does not wait for a run
// that should have ended before.
func (r *checkRun) result(ctx context.Context, c clock.PassiveClock) error {
	if c.Since(r.since) <= checkTimeout {
		select {
		case <-r.done:
		case <-ctx.Done():
		}
	}
	select {
	case <-r.done:
		return r.err
	default:
		return fmt.Errorf("the check has not answered for %v, since %s", c.Since(r.since).Round(time.Millisecond), r.since.Format(time.RFC3339))
	}
}

// askAll asks all checks at once, for checkTimeout at most. The report has a line for
// each; the error has all that failed.
func (m *Manager) askAll(ctx context.Context, all []*namedCheck) (report string, err error) {
	c := m.settings().Clock
	ctx, cancel := retry.WithTimeout(ctx, c, checkTimeout)
	defer cancel()
	runs := make([]*checkRun, len(all))
	for i, n := range all {
		runs[i] = n.join(ctx, c, c.Now())
	}
	errs := make([]error, len(all))
	var b strings.Builder
	for i, n := range all {
		if err := runs[i].result(ctx, c); err != nil {
			fmt.Fprintf(&b, "[-]%s failed: %v\n", n.name, err)
			errs[i] = fmt.Errorf("%s: %w", n.name, err)
			continue
		}
		fmt.Fprintf(&b, "[+]%s ok\n", n.name)
	}
	return b.String(), errors.Join(errs...)
}

// serveChecks answers with a line for each check, and with status 200 if all succeed
// or 503 if one fails.
func (m *Manager) serveChecks(all func() []*namedCheck) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		report, err := m.askAll(req.Context(), all())
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
