package connect

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/transport"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/internal/regular"
)

// DefaultEndpoint is the address that an etcd listens on by default.
const DefaultEndpoint = "127.0.0.1:2379"

// Options say how to reach an etcd. The zero value means [DefaultEndpoint], without TLS and
// without a user. Fill it from flags with [Options.Flags], or from YAML by its json tags.
type Options struct {
	// Endpoints are URLs or addresses of members: host:port, http://host:port,
	// https://host:port, unix://path or unixs://path. Endpoints without a scheme use TLS
	// if CACert or Cert is set. Defaults to DefaultEndpoint.
	Endpoints []string `json:"endpoints,omitempty"`
	// CACert is a file with the CA that signed etcd's certificate. Defaults to the
	// system's CAs, for https endpoints.
	CACert string `json:"cacert,omitempty"`
	// Cert and Key are files with the client's certificate and its key. Both or neither
	// must be set. Defaults to no client certificate.
	Cert string `json:"cert,omitempty"`
	Key  string `json:"key,omitempty"`
	// User is the name of an etcd user, with the password after a colon unless
	// PasswordFile is set. PasswordFile is a file with the password; a final newline does
	// not count. Defaults to no user.
	User         string `json:"user,omitempty"`
	PasswordFile string `json:"passwordFile,omitempty"`
}

// String returns the options for logs, without passwords.
func (o Options) String() string {
	user, _, _ := strings.Cut(o.User, ":")
	return fmt.Sprintf("endpoints=%s cacert=%q cert=%q key=%q user=%q passwordFile=%q",
		strings.Join(etcd.RedactEndpoints(o.endpoints()...), ","), o.CACert, o.Cert, o.Key, user, o.PasswordFile)
}

// Flags defines the flags --endpoints, --cacert, --cert, --key, --user and --password-file.
// The present values of o are their defaults, so that flags override a file.
func (o *Options) Flags(flags *flag.FlagSet) {
	flags.Func("endpoints", "comma-separated `URLs` of the etcd (default "+strings.Join(etcd.RedactEndpoints(o.endpoints()...), ",")+")", func(s string) error {
		if o.Endpoints = List(s); len(o.Endpoints) == 0 {
			return errors.New("no endpoint given")
		}
		return nil
	})
	flags.StringVar(&o.CACert, "cacert", o.CACert, "`file` with the CA that signed etcd's certificate")
	flags.StringVar(&o.Cert, "cert", o.Cert, "`file` with the client's certificate")
	flags.StringVar(&o.Key, "key", o.Key, "`file` with the key of the client's certificate")
	// A StringVar would print the password of a file as the flag's default.
	flags.Func("user", "`name:password` of an etcd user, or the name alone", func(s string) error {
		o.User = s
		return nil
	})
	flags.StringVar(&o.PasswordFile, "password-file", o.PasswordFile, "`file` with the password of the user")
}

// List splits a flag's value at commas. It drops spaces around items, and empty items.
func List(s string) []string {
	var items []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// Secured reports whether certificates or a user are set. Use it in a program that can
// also start an etcd of its own: these settings make no sense with that one.
func (o Options) Secured() bool {
	return o.CACert != "" || o.Cert != "" || o.Key != "" || o.User != "" || o.PasswordFile != ""
}

// Check returns an error if the options contradict each other, or would send a secret in
// clear. The rules are:
//
//   - Either all endpoints use TLS, or none does.
//   - With a certificate or a CA, all endpoints use TLS: http:// is refused.
//   - With a password, an endpoint without TLS must be on this machine.
//   - An endpoint contains no user and no password: etcd's client would ignore them.
//
// Check reads no files. [Options.Open] calls it; call it earlier to report mistakes before the
// program does anything.
func (o Options) Check() error {
	_, err := o.check()
	return err
}

func (o Options) check() ([]endpoint, error) {
	user, password, hasPassword := strings.Cut(o.User, ":")
	switch {
	case (o.Cert == "") != (o.Key == ""):
		return nil, errors.New("the client's certificate and its key belong together: set both or neither")
	case o.User == "" && o.PasswordFile != "":
		return nil, errors.New("a password file needs a user")
	case o.User != "" && hasPassword == (o.PasswordFile != ""):
		return nil, errors.New("user: want name:password, or a name and a password file")
	case o.User != "" && user == "":
		return nil, errors.New("user: the name is empty")
	case hasPassword && password == "":
		return nil, errors.New("user: the password is empty")
	}
	withTLS := o.CACert != "" || o.Cert != ""
	var endpoints []endpoint
	for _, given := range o.endpoints() {
		e, err := parseEndpoint(given, withTLS)
		if err != nil {
			return nil, err
		}
		endpoints = append(endpoints, e)
	}
	for _, e := range endpoints {
		switch {
		case e.tls:
		case withTLS:
			return nil, fmt.Errorf("endpoint %s: http does not use certificates, and would send everything in clear: want https", e.given)
		case o.User != "" && !e.local():
			return nil, fmt.Errorf("endpoint %s: the user's password would be sent in clear: want https", e.given)
		}
		if e.tls != endpoints[0].tls {
			return nil, fmt.Errorf("endpoints %s and %s: one is with TLS and the other without", endpoints[0].given, e.given)
		}
	}
	return endpoints, nil
}

func (o Options) endpoints() []string {
	if len(o.Endpoints) == 0 {
		return []string{DefaultEndpoint}
	}
	return o.Endpoints
}

func (o Options) credentials() (name, password string, err error) {
	if o.PasswordFile == "" {
		name, password, _ = strings.Cut(o.User, ":")
		return name, password, nil
	}
	content, err := regular.ReadFile(o.PasswordFile)
	if err != nil {
		return "", "", fmt.Errorf("password file: %w", err)
	}
	password = strings.TrimRight(string(content), "\r\n")
	if password == "" {
		return "", "", fmt.Errorf("password file %s: it is empty", o.PasswordFile)
	}
	return o.User, password, nil
}

// tls returns nil if there is no TLS, or if the system's CAs are enough.
func (o Options) tls() (*tls.Config, error) {
	if o.CACert == "" && o.Cert == "" {
		return nil, nil
	}
	for _, path := range []string{o.CACert, o.Cert, o.Key} {
		if path == "" {
			continue
		}
		if err := regular.Check(path); err != nil {
			return nil, fmt.Errorf("certificates: %w", err)
		}
	}
	config, err := transport.TLSInfo{TrustedCAFile: o.CACert, CertFile: o.Cert, KeyFile: o.Key}.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	return config, nil
}
