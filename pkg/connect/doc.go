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
// [Options.Open] returns a client only after etcd has answered a read of the given keys.
// A wrong endpoint, an untrusted certificate, a wrong password or a missing permission is an
// error at once, and the error names the cause.
//
// # Not guaranteed
//
//   - That the connection lasts. The client reconnects by itself; the status of a
//     replica (package informer) says how long it has been out of date.
//   - That certificates are reloaded. Only the client's certificate and key are read again,
//     for each new connection.
package connect
