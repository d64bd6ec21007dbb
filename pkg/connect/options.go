package connect

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/transport"
)

// DefaultEndpoint is where an etcd listens by default.
const DefaultEndpoint = "127.0.0.1:2379"

// Options say how to reach an etcd. The zero value is one at [DefaultEndpoint],
// without TLS and user.
type Options struct {
	// Endpoints are URLs or addresses of members. Defaults to DefaultEndpoint.
	Endpoints []string `json:"endpoints,omitempty"`
	// CACert is a file with the CA that signed etcd's certificate. Without it,
	// an https endpoint is checked against the system's CAs.
	CACert string `json:"cacert,omitempty"`
	// Cert and Key are files with the client's certificate and its key.
	Cert string `json:"cert,omitempty"`
	Key  string `json:"key,omitempty"`
	// User is the name of an etcd user. The password follows after a colon, or
	// is in PasswordFile, less its final newline.
	User         string `json:"user,omitempty"`
	PasswordFile string `json:"passwordFile,omitempty"`
}

// Flags defines --endpoints, --cacert, --cert, --key, --user and
// --password-file. What o has already is their default.
func (o *Options) Flags(flags *flag.FlagSet) {
	flags.Func("endpoints", "comma-separated `URLs` of the etcd (default "+strings.Join(o.endpoints(), ",")+")", func(s string) error {
		if o.Endpoints = List(s); len(o.Endpoints) == 0 {
			return errors.New("there is none")
		}
		return nil
	})
	flags.StringVar(&o.CACert, "cacert", o.CACert, "`file` with the CA that signed etcd's certificate")
	flags.StringVar(&o.Cert, "cert", o.Cert, "`file` with the client's certificate")
	flags.StringVar(&o.Key, "key", o.Key, "`file` with the key of the client's certificate")
	flags.StringVar(&o.User, "user", o.User, "`name:password` of an etcd user, or the name alone")
	flags.StringVar(&o.PasswordFile, "password-file", o.PasswordFile, "`file` with the password of the user")
}

// List splits the value of a flag at commas. Spaces and empty items are left
// out.
func List(s string) []string {
	var items []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// Secured reports whether certificates or a user are given.
func (o Options) Secured() bool {
	return o.CACert != "" || o.Cert != "" || o.Key != "" || o.User != "" || o.PasswordFile != ""
}

// Check says what does not fit together. It reads no files.
func (o Options) Check() error {
	switch {
	case (o.Cert == "") != (o.Key == ""):
		return errors.New("a client's certificate and its key belong together: give both or neither")
	case o.User == "" && o.PasswordFile != "":
		return errors.New("a password file without a user")
	case o.User != "" && strings.Contains(o.User, ":") == (o.PasswordFile != ""):
		return errors.New("user: want name:password, or a name and a password file")
	}
	return nil
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
	content, err := os.ReadFile(o.PasswordFile)
	if err != nil {
		return "", "", fmt.Errorf("password file: %w", err)
	}
	return o.User, strings.TrimRight(string(content), "\r\n"), nil
}

// tls returns nil where nothing is to be encrypted, or the system's CAs are to
// be trusted.
func (o Options) tls() (*tls.Config, error) {
	if o.CACert == "" && o.Cert == "" {
		return nil, nil
	}
	config, err := transport.TLSInfo{TrustedCAFile: o.CACert, CertFile: o.Cert, KeyFile: o.Key}.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	return config, nil
}
