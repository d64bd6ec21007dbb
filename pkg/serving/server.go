package serving

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// The limits of a connection; see the package's documentation.
const (
	headerTimeout  = 10 * time.Second
	readTimeout    = time.Minute
	writeTimeout   = time.Minute
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	maxConnections = 1000
)

// Server serves HTTP as its [Options] say. It may serve several listeners, and is safe
// for concurrent use.
type Server struct {
	options Options
	clock   clock.WithDelayedExecution
	log     logr.Logger

	tls       *tls.Config                    // nil without TLS
	tokens    *reloaded[[][sha256.Size]byte] // nil without tokens
	clientCAs *reloaded[*x509.CertPool]      // nil without CAs of clients
}

// New returns a server. It reads the files that the options name, and returns an error
// that names one that cannot be used. The clock times when files are read again, the
// grace period of [Server.Serve], and the validity of certificates.
func New(o Options, c clock.WithDelayedExecution, log logr.Logger) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("serving: %w", err)
	}
	s := &Server{options: o, clock: c, log: log}
	var err error
	if s.tls, err = s.tlsConfig(); err != nil {
		return nil, fmt.Errorf("serving: %w", err)
	}
	if o.TokenFile != "" {
		s.tokens = newReloaded(s, "tokens", parseTokens, o.TokenFile)
		err = s.tokens.load()
	}
	if o.ClientCAFile != "" && err == nil {
		s.clientCAs = newReloaded(s, "CA of clients", parseCAs, o.ClientCAFile)
		err = s.clientCAs.load()
	}
	if err != nil {
		return nil, fmt.Errorf("serving: %w", err)
	}
	return s, nil
}

func newReloaded[T any](s *Server, what string, parse func([][]byte) (T, error), files ...string) *reloaded[T] {
	return &reloaded[T]{what: what, files: files, parse: parse, clock: s.clock, log: s.log}
}

// Check returns an error if the server must not listen on an address, because its
// tokens would be sent in clear. [Server.Serve] calls it.
func (s *Server) Check(addr net.Addr) error {
	if s.tokens != nil && s.tls == nil && !IsLoopback(addr) {
		return fmt.Errorf("serving at %v: tokens would be sent in clear: set a certificate and its key, or selfSigned, or listen on 127.0.0.1", addr)
	}
	return nil
}

// Serve serves a handler on a listener until ctx is done. Then it lets the requests that
// it has begun finish within the grace period, which a negative one ends at once, closes all connections, and returns nil.
// It returns an error if it cannot serve, or cannot go on serving. It closes the listener.
//
// When Serve returns, no handler is running. So a handler must end when its request's
// context is done.
func (s *Server) Serve(ctx context.Context, l net.Listener, h http.Handler, grace time.Duration) error {
	if err := s.Check(l.Addr()); err != nil {
		return errors.Join(err, l.Close())
	}
	base, stopHandlers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHandlers()
	var connections sync.WaitGroup
	server := &http.Server{
		Handler: s.guarded(l.Addr(), h), TLSConfig: s.tls.Clone(),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		Protocols:      new(http.Protocols),
		ErrorLog:       log.New(errorLog{s.log}, "", 0),
		BaseContext:    func(net.Listener) context.Context { return base },
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				connections.Add(1) // before http's Serve can return
			case http.StateClosed, http.StateHijacked:
				connections.Done()
			}
		},
	}
	server.Protocols.SetHTTP1(true)
	l = netutil.LimitListener(l, s.maxConnections())
	ended := make(chan error, 1)
	go func() {
		if s.tls != nil {
			ended <- server.ServeTLS(l, "", "")
		} else {
			ended <- server.Serve(l)
		}
	}()
	var err error
	select {
	case <-ctx.Done():
		s.shutDown(server, grace)
		<-ended
	case err = <-ended:
		s.shutDown(server, grace) // connections may still be open
	}
	stopHandlers()
	connections.Wait()
	return err
}

func (s *Server) maxConnections() int {
	if s.options.MaxConnections == 0 {
		return maxConnections
	}
	return s.options.MaxConnections
}

func (s *Server) shutDown(server *http.Server, grace time.Duration) {
	ctx, cancel := retry.WithTimeout(context.Background(), s.clock, grace)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		_ = server.Close() // cuts off clients that are still reading
	}
}

// Extend lets a client take until d from now to read what w has written and writes until
// then, in place of the server's limit. Call it before an answer that takes long. For
// a stream of events, call it before each event: then a stream lasts for as long as its
// client reads it. It has no effect on writers without limits, such as that of package
// httptest.
func Extend(w http.ResponseWriter, d time.Duration) {
	// An error says that there is no limit, or that the connection is closed. The next
	// write tells the latter. A connection knows only the system's clock.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
}

// errorLog takes the lines of http.Server. Most are about connections that clients have
// broken off.
type errorLog struct{ log logr.Logger }

func (l errorLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if strings.HasPrefix(text, "http: panic") {
		l.log.Error(nil, "a handler panicked", "cause", text)
	} else {
		l.log.V(1).Info("connection failed", "cause", text)
	}
	return len(line), nil
}
