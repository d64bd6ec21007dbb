package connect

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"strings"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// endpoint is the address of a member, as etcd's client understands it.
type endpoint struct {
	given      string // without secrets
	network    string // tcp or unix
	address    string // host:port, or the path of a socket
	serverName string // what the member's certificate must be valid for
	tls        bool
}

// parseEndpoint accepts host:port, http(s)://host:port and unix(s)://path. withTLS says
// whether an endpoint that leaves the choice open uses TLS.
func parseEndpoint(given string, withTLS bool) (endpoint, error) {
	e, err := splitEndpoint(given, withTLS)
	e.given = etcd.RedactEndpoints(given)[0]
	if err != nil {
		return e, fmt.Errorf("endpoint %s: %w", e.given, err)
	}
	return e, nil
}

func splitEndpoint(given string, withTLS bool) (endpoint, error) {
	scheme, rest, ok := strings.Cut(given, ":")
	if ok && (scheme == "unix" || scheme == "unixs") {
		address := strings.TrimPrefix(rest, "//")
		return endpoint{network: "unix", address: address, serverName: path.Base(address), tls: scheme == "unixs" || withTLS}, nil
	}
	e := endpoint{network: "tcp", address: given, tls: withTLS}
	if strings.Contains(given, "://") {
		u, err := url.Parse(given)
		switch {
		case err != nil:
			return e, errors.New("not a valid URL") // err shows a password
		case u.Scheme != "http" && u.Scheme != "https":
			return e, errors.New("the scheme must be http, https, unix or unixs")
		case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
			return e, errors.New("etcd has neither paths nor queries: want scheme://host:port")
		}
		if u.User != nil {
			return e, errSecretInEndpoint
		}
		e.address, e.tls = u.Host, u.Scheme == "https"
	}
	if strings.Contains(e.address, "@") {
		return e, errSecretInEndpoint
	}
	host, port, err := net.SplitHostPort(e.address)
	if err != nil || port == "" {
		return e, errors.New("want host:port")
	}
	e.serverName = host
	return e, nil
}

var errSecretInEndpoint = errors.New("etcd's client ignores a user in an endpoint: set the user and its password apart")

// local reports whether what is sent to the endpoint stays on this machine.
func (e endpoint) local() bool {
	if e.network == "unix" {
		return true
	}
	ip := net.ParseIP(e.serverName)
	return e.serverName == "" || e.serverName == "localhost" || ip != nil && ip.IsLoopback()
}
