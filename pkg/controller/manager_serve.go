package controller

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/homeostat/homeostat/pkg/controller/internal/profiles"
	"github.com/homeostat/homeostat/pkg/serving"
)

// Bounds of /metrics, for collectors that hang: after the time a scrape is answered with
// status 503, and at most so many scrapes are under way.
const (
	scrapeTimeout = 10 * time.Second
	maxScrapes    = 10
)

// Handler returns a handler for what the manager serves at its Address. Use it to
// serve the same from a server of your own:
//
//	/healthz        200, or 503 with the failed checks: restart the process
//	/readyz         200, or 503 with the failed checks, such as a replica that has lost
//	                its etcd, and since when: the process cannot do its work
//	/metrics        metrics for Prometheus; see Manager.Metrics
//	/debug/pprof/   profiles, with ManagerOptions.Pprof
//
// The answer to /healthz and /readyz takes at most 5 seconds, so give a probe of
// Kubernetes a timeoutSeconds of 6 to see which check hangs. Both are for everybody. The
// others are for clients that are authenticated, if ManagerOptions.Serving says how. The
// limits of package serving, its TLS and its check of names are those of the manager's
// own server: a server of your own needs its own.
func (m *Manager) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", m.serveChecks(func() []*namedCheck { return m.checks.of(&m.checks.health) }))
	mux.Handle("GET /readyz", m.serveChecks(m.readyChecks))
	mux.Handle("GET /metrics", m.server.Authenticated(promhttp.HandlerFor(m.Metrics(), promhttp.HandlerOpts{
		EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError,
		Timeout: scrapeTimeout, MaxRequestsInFlight: maxScrapes,
	})))
	if m.settings().Pprof {
		mux.Handle("GET /debug/pprof/", m.server.Authenticated(profiles.Handler("/debug/pprof/")))
	}
	return mux
}

// listen opens the manager's address. It returns nil if there is none.
func (m *Manager) listen() (net.Listener, error) {
	o := m.settings()
	if o.Address == "" {
		return nil, nil
	}
	socket, err := m.openSocket("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("manager: serve health and metrics: %w", err)
	}
	if err = m.server.Check(socket.Addr()); err == nil && o.Pprof && !o.Serving.Authenticates() && !serving.IsLoopback(socket.Addr()) {
		err = fmt.Errorf("profiles at %v would be open to everybody: set a token file or a CA of clients, listen on 127.0.0.1, or switch profiles off", socket.Addr())
	}
	if err != nil {
		_ = socket.Close() // the error to report is the other one
		return nil, fmt.Errorf("manager: %w", err)
	}
	o.Log.Info("serving health and metrics", "address", socket.Addr().String(), "tls", o.Serving.Secure(), "authentication", o.Serving.Authenticates())
	return socket, nil
}

// serve serves on a socket until ctx is done. It then finishes the answers that it has
// begun, within the grace period. It returns an error if it cannot go on serving.
func (m *Manager) serve(ctx context.Context, socket net.Listener) error {
	if err := m.server.Serve(ctx, socket, m.Handler(), m.settings().GracePeriod); err != nil {
		return fmt.Errorf("manager: health and metrics are no longer served: %w", err)
	}
	return nil
}
