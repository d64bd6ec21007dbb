// Package connect opens the etcd client of a program from what its operator
// says, in flags or in a YAML file: endpoints, certificates, user.
//
//	var etcd connect.Options
//	etcd.Flags(flag.CommandLine)
//	flag.Parse()
//	client, err := etcd.Open(ctx, store.PrefixRange("/registry/"))
//
// A client that [Options.Open] returns has been answered: a wrong endpoint, a
// certificate that is not trusted, a wrong password and a user without
// permission are errors at once, which name the cause, rather than silence.
//
// What it does not do: it does not watch over the connection (a replica does
// that), and it does not read certificates again when the files change, save
// those of the client, which are read for each new connection.
package connect
