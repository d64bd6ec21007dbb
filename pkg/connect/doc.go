// Package connect opens a program's etcd client from its operator's settings: endpoints,
// certificates and a user, given by flags or in a YAML file.
//
//	var options connect.Options
//	options.Flags(flag.CommandLine)
//	flag.Parse()
//	client, err := options.Open(ctx, etcd.PrefixRange("/registry/"))
//
// # Guarantees
//
//   - [Options.Open] returns a client only after etcd has answered a read of the given keys.
//   - Open fails at once, with an error that names the cause, if waiting does not help:
//     nothing listens, an unknown host, an untrusted or expired certificate, a client's
//     certificate that is missing or rejected, TLS at one end only, a wrong password, a
//     missing permission.
//   - Nothing secret is sent in clear to another machine. [Options.Check] refuses http:// with
//     certificates or a password.
//   - No error shows a password.
//
// # Not guaranteed
//
//   - That the connection lasts. The client reconnects by itself; the status of a
//     replica (package informer) says how long it has been out of date.
//   - That certificates are reloaded. Only the client's certificate and key are read again,
//     for each new connection.
//   - That every endpoint works. One that answers is enough for Open.
package connect
