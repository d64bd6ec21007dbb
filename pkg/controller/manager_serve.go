package controller

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/controller/internal/profiles"
	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// Handler returns a handler for what the manager serves at its Address. Use it to
// serve the same from a server of your own:
//
//	/healthz        200, or 503 with the failed checks: restart the process
//	/readyz         200, or 503 with the failed checks, such as a replica that has lost
//	                its etcd, and since when: the process cannot do its work
//	/metrics        metrics for Prometheus; see Manager.Metrics
//	/debug/pprof/   profiles, with ManagerOptions.Pprof
func (m *Manager) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", m.serveChecks(func() []*namedCheck { return m.checks.of(&m.checks.health) }))
	mux.Handle("GET /readyz", m.serveChecks(m.readyChecks))
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.Metrics(), promhttp.HandlerOpts{
		EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError,
	}))
	if m.settings().Pprof {
		mux.Handle("GET /debug/pprof/", profiles.Handler("/debug/pprof/"))
	}
	return mux
}

// server serves a manager's handler at its address.
type server struct {
	socket      net.Listener // nil without an address
	http        http.Server
	clock       clock.WithDelayedExecution
	gracePeriod time.Duration
}

// newServer opens the manager's address.
func (m *Manager) newServer() (*server, error) {
	s := &server{clock: m.settings().Clock, gracePeriod: m.settings().GracePeriod}
	if m.settings().Address == "" {
		return s, nil
	}
	socket, err := m.openSocket("tcp", m.settings().Address)
	if err != nil {
		return nil, fmt.Errorf("manager: serve health and metrics: %w", err)
	}
	m.settings().Log.V(1).Info("serving health and metrics", "address", socket.Addr().String())
	s.socket, s.http = socket, http.Server{Handler: m.Handler(), ReadHeaderTimeout: 10 * time.Second}
	return s, nil
}

// run serves until ctx is done. It then finishes the answers that it has begun,
// within the grace period. It returns an error if it cannot go on serving.
func (s *server) run(ctx context.Context) error {
	if s.socket == nil {
		<-ctx.Done()
		return nil
	}
	ended := make(chan error, 1)
	go func() { ended <- s.http.Serve(s.socket) }()
	select {
	case <-ctx.Done():
		s.shutDown()
		<-ended
		return nil
	case err := <-ended:
		s.shutDown() // connections may still be open
		return fmt.Errorf("manager: health and metrics are no longer served: %w", err)
	}
}

func (s *server) shutDown() {
	ctx, cancel := retry.WithTimeout(context.Background(), s.clock, s.gracePeriod)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close() // cuts off clients that are still reading
	}
}
