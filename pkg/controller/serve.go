package controller

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/homeostat/homeostat/pkg/controller/internal/profiles"
)

// Handler returns what the manager serves at its Address, for a server of your
// own:
//
//	/healthz        200, or 503 with what fails: restart the process
//	/readyz         200, or 503 with what keeps it from its work, such as a replica
//	                that has lost etcd, and since when
//	/metrics        for Prometheus; see Manager.Metrics
//	/debug/pprof/   profiles, with ManagerOptions.Pprof
func (m *Manager) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", serveChecks(func() []namedCheck { return m.checks.of(&m.checks.health) }))
	mux.Handle("GET /readyz", serveChecks(m.readyChecks))
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.metrics.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError,
	}))
	if m.options.Pprof {
		mux.Handle("GET /debug/pprof/", profiles.Handler("/debug/pprof/"))
	}
	return mux
}

// listen takes the manager's address, if it has one. serve then answers there until
// ctx is done, and returns when every answer that is under way has been given, for
// as long as the grace period lasts. Its error says why it ended before.
func (m *Manager) listen() (serve func(ctx context.Context) error, err error) {
	if m.options.Address == "" {
		return func(ctx context.Context) error { <-ctx.Done(); return nil }, nil
	}
	listener, err := m.listenAt("tcp", m.options.Address)
	if err != nil {
		return nil, fmt.Errorf("manager: serve health and metrics: %w", err)
	}
	m.log.V(1).Info("serving health and metrics", "address", listener.Addr().String())
	server := &http.Server{Handler: m.Handler(), ReadHeaderTimeout: 10 * time.Second}
	return func(ctx context.Context) error {
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(listener) }()
		select {
		case <-ctx.Done():
			m.shutDown(server)
			<-ended
			return nil
		case err := <-ended:
			m.shutDown(server) // who was answered already may still be connected
			return fmt.Errorf("manager: health and metrics are not served any more: %w", err)
		}
	}, nil
}

func (m *Manager) shutDown(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), m.options.GracePeriod)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		_ = server.Close() // who is still reading is cut off
	}
}
