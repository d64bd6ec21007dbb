package serving

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// IsLoopback reports whether only this machine can connect to an address: to a loopback
// address, or to a socket in the file system.
func IsLoopback(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

// guarded refuses requests with foreign names of the server, and those of foreign pages.
func (s *Server) guarded(addr net.Addr, h http.Handler) http.Handler {
	if !IsLoopback(addr) && len(s.options.Hosts) == 0 {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case !s.isName(req.Host):
			http.Error(w, fmt.Sprintf("forbidden: %q is no name of this server: add it to the server's hosts", req.Host), http.StatusForbidden)
		case isForeign(req):
			http.Error(w, "forbidden: the request comes from a page of another origin", http.StatusForbidden)
		default:
			h.ServeHTTP(w, req)
		}
	})
}

// isName reports whether a Host header can name the server. An address always can: for
// a browser, a page of that address is a page of this server. A browser always names the
// host; a probe by HTTP/1.0 may not.
func (s *Server) isName(header string) bool {
	host := header
	if name, _, err := net.SplitHostPort(header); err == nil {
		host = name
	}
	if host == "" || net.ParseIP(strings.Trim(host, "[]")) != nil || strings.EqualFold(host, "localhost") {
		return true
	}
	return slices.ContainsFunc(s.options.Hosts, func(name string) bool { return strings.EqualFold(name, host) })
}

// isForeign reports whether a browser sent a request for a page of another origin.
func isForeign(req *http.Request) bool {
	if origin := req.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || !strings.EqualFold(u.Host, req.Host) {
			return true
		}
	}
	site := req.Header.Get("Sec-Fetch-Site")
	follows := req.Header.Get("Sec-Fetch-Mode") == "navigate" && req.Header.Get("Sec-Fetch-Dest") == "document" && req.Method == http.MethodGet
	return (site == "cross-site" || site == "same-site") && !follows
}
