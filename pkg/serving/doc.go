// Package serving serves HTTP for programs that run for months: with limits that no
// client can exceed, with TLS, and with authentication. The manager of package
// controller serves its health checks, metrics and profiles by it.
//
// # How to use it
//
// Make a [Server] from [Options], wrap the handlers that not everybody may use, and
// serve on a listener:
//
//	s, err := serving.New(serving.Options{TokenFile: "/etc/town/tokens"}, clock.RealClock{}, log)
//	mux := http.NewServeMux()
//	mux.Handle("GET /healthz", health)
//	mux.Handle("GET /metrics", s.Authenticated(metrics))
//	err = s.Serve(ctx, listener, mux, 5*time.Second)
//
// # Limits
//
// A connection ends if its client takes more than
//
//   - 10 seconds for the TLS handshake, and again for the header of a request,
//   - 1 minute for the whole request,
//   - 1 minute, from the end of the header, for the answer to be made and read, or
//   - 2 minutes between two requests.
//
// A header has at most 64 KiB. There are at most [Options].MaxConnections connections;
// further ones wait in the system's queue. An answer that takes longer, such as
// a profile or a stream of events, calls [Extend]. Only HTTP/1.1 is served.
//
// # Authentication
//
// A client proves who it is by a certificate that is signed by a CA of
// [Options].ClientCAFile, or by a bearer token of [Options].TokenFile. Whoever can do so
// may use everything: there are no roles. So use a CA of its own for these clients,
// rather than one that signs certificates for everybody. The certificate is verified
// at each request: it may expire, and the CA may change, while a connection is open.
//
// Files are read again within 10 seconds after a change, when a client comes. If a new
// content is wrong, or a file is gone, the old one stays in use and the log has an error.
// So to revoke a token, put another in its place; do not delete the file.
//
// # Names of the server
//
// A web page can give its own name an address of this machine, and so make a visitor's
// browser read from servers there that listen on a loopback address (DNS rebinding).
// Therefore a server that listens on a loopback address refuses requests that have
// a Host header other than localhost, an IP address, or one of [Options].Hosts. It also
// refuses requests that a page of another origin makes a browser send, except when the
// user follows a link. A server on another address does this if it has Hosts.
//
// # What is not guaranteed
//
//   - A client that is not authenticated can still use up the connections, for as long
//     as it opens new ones. Let a firewall or a network policy decide who can connect.
//   - Handlers are not bounded in time: only what they read and write is.
package serving
