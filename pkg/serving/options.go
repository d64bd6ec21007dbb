package serving

import (
	"errors"
	"fmt"
	"strings"
)

// Options say how a [Server] serves. The zero value serves without TLS and without
// authentication.
type Options struct {
	// CertFile and KeyFile have the server's certificate, followed by those of
	// intermediate CAs, and its key, in PEM. Both or neither must be set. Defaults to
	// no TLS, unless SelfSigned is set.
	CertFile, KeyFile string
	// SelfSigned serves with TLS and a certificate of its own, made by [New]. It hides
	// what is sent from those who only listen. Clients cannot verify whom they talk to.
	// Defaults to false.
	SelfSigned bool
	// ClientCAFile has certificates of CAs, in PEM. A client is authenticated if it has
	// a certificate for client authentication that is signed by one of them. It needs
	// TLS. Defaults to no authentication by certificates.
	ClientCAFile string
	// TokenFile has secret tokens, one a line. A client is authenticated if it sends one
	// of them, as in "Authorization: Bearer TOKEN". Without TLS, the server then listens
	// on loopback addresses only, since the token would be sent in clear. Defaults to no
	// authentication by tokens.
	TokenFile string
	// Hosts are further names under which clients reach the server, without ports; see
	// the package's documentation. A server behind a proxy on the same machine needs
	// them. Defaults to none.
	Hosts []string
	// MaxConnections is how many connections may be open at once. Defaults to 1000.
	MaxConnections int
}

// Authenticates reports whether clients can prove who they are: whether ClientCAFile or
// TokenFile is set.
func (o Options) Authenticates() bool { return o.ClientCAFile != "" || o.TokenFile != "" }

// Secure reports whether the options say to serve with TLS.
func (o Options) Secure() bool { return o.CertFile != "" || o.SelfSigned }

func (o Options) check() error {
	switch {
	case (o.CertFile == "") != (o.KeyFile == ""):
		return errors.New("the certificate and its key belong together: set both files or neither")
	case o.CertFile != "" && o.SelfSigned:
		return errors.New("there is a certificate file and selfSigned: set one of them")
	case o.ClientCAFile != "" && !o.Secure():
		return errors.New("a CA of clients needs TLS: set a certificate and its key, or selfSigned")
	case o.MaxConnections < 0:
		return fmt.Errorf("maxConnections is %d: it must not be negative", o.MaxConnections)
	}
	for _, host := range o.Hosts {
		if host == "" || strings.ContainsAny(host, ":/[] ") {
			return fmt.Errorf("host %q: want a name without scheme and port; IP addresses need not be given", host)
		}
	}
	return nil
}
