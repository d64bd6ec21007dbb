package connect

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// probeTimeout bounds one connection of a probe.
const probeTimeout = time.Second

// A lastingError is a fault of an endpoint that waiting does not mend, or not soon.
type lastingError struct{ cause error }

func (e lastingError) Error() string { return e.cause.Error() }
func (e lastingError) Unwrap() error { return e.cause }

// probeAll says what is wrong with each endpoint. The error of etcd's client does not say so.
// An endpoint without a fault has no error.
func probeAll(ctx context.Context, endpoints []endpoint, config *tls.Config) []error {
	faults := make([]error, len(endpoints))
	var wg sync.WaitGroup
	for i, e := range endpoints {
		wg.Go(func() { faults[i] = e.probe(ctx, config) })
	}
	wg.Wait()
	return faults
}

// allLast reports whether every endpoint has a fault that waiting does not mend.
func allLast(faults []error) bool {
	for _, fault := range faults {
		if !errors.As(fault, new(lastingError)) {
			return false
		}
	}
	return true
}

// probe connects as etcd's client would, up to the server's first frame: a server rejects
// a client's certificate only after the client has finished the TLS handshake.
func (e endpoint) probe(ctx context.Context, config *tls.Config) error {
	err := e.greet(ctx, e.tls, config)
	switch op := new(net.OpError); {
	case nobodyThere(err):
		return lastingError{err}
	case err == nil, ctx.Err() != nil, errors.As(err, &op) && op.Op == "dial":
		return err
	case errors.Is(err, errNoHTTP2) && e.tls:
		return lastingError{err}
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return lastingError{fmt.Errorf("etcd's certificate: %w", err)}
	case e.tls && op.Op == "remote error":
		return explainAlert(err, config != nil && config.GetClientCertificate != nil)
	case e.tls && e.greet(ctx, false, nil) == nil:
		return lastingError{fmt.Errorf("etcd serves without TLS there (http or unix): %w", err)}
	case !e.tls && e.servesTLS(ctx):
		return lastingError{fmt.Errorf("etcd serves with TLS there (https or unixs): %w", err)}
	case errors.Is(err, errNoHTTP2), errors.As(err, new(tls.RecordHeaderError)):
		return lastingError{err}
	}
	return err
}

// nobodyThere reports whether nothing listens at an address, or its host is unknown.
func nobodyThere(err error) bool {
	unknown, ok := errors.AsType[*net.DNSError](err)
	return ok && unknown.IsNotFound || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

// explainAlert explains an alert that a server sent. Package crypto/tls exports no type for it.
func explainAlert(err error, withCertificate bool) error {
	switch text := err.Error(); {
	case strings.Contains(text, "internal error"):
		return err
	case !strings.Contains(text, "certificate") && !strings.Contains(text, "handshake failure"):
		return lastingError{err}
	case withCertificate:
		return lastingError{fmt.Errorf("etcd rejects the client's certificate: %w", err)}
	}
	return lastingError{fmt.Errorf("etcd wants a client's certificate: %w", err)}
}

var errNoHTTP2 = errors.New("the server there is no etcd: it does not speak HTTP/2")

// greet opens a connection and exchanges the first frames of HTTP/2.
func (e endpoint) greet(ctx context.Context, withTLS bool, config *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, e.network, e.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if withTLS {
		secure := tls.Client(conn, e.config(config))
		if err := secure.HandshakeContext(ctx); err != nil {
			return err
		}
		if secure.ConnectionState().NegotiatedProtocol != "h2" {
			return errNoHTTP2
		}
		conn = secure
	}
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" // an empty frame
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+settings); err != nil {
		return err
	}
	var frame [len(settings)]byte
	if _, err := io.ReadFull(conn, frame[:]); err != nil {
		return err
	}
	if frame[3] != settings[3] {
		return errNoHTTP2
	}
	return nil
}

// servesTLS reports whether a TLS handshake succeeds if nothing is verified, or fails because
// of the client's certificate.
func (e endpoint) servesTLS(ctx context.Context) bool {
	err := e.greet(ctx, true, &tls.Config{InsecureSkipVerify: true})
	op := new(net.OpError)
	return err == nil || errors.As(err, &op) && op.Op == "remote error"
}

func (e endpoint) config(config *tls.Config) *tls.Config {
	if config == nil {
		config = new(tls.Config)
	}
	config = config.Clone()
	config.NextProtos = []string{"h2", "http/1.1"} // so that a wrong certificate is the first thing seen
	if config.ServerName == "" {
		config.ServerName = e.serverName
	}
	return config
}
