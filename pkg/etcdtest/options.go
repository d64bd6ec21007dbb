package etcdtest

import (
	"fmt"

	"github.com/go-logr/logr"
)

// Unix is a value of Options.ClientAddr. The members then serve on unix sockets in
// a private directory, which are faster than TCP and need no ports.
const Unix = "unix"

// Options configure a cluster. The zero value is a cluster of one member whose data are
// removed by Close.
type Options struct {
	// Members is the number of members. It must be the same whenever a DataDir is used.
	// Defaults to 1.
	Members int

	// DataDir is a directory that keeps the data: the next cluster with the same
	// directory serves them. Start and Run create it if needed. One cluster at a time
	// can use it. Defaults to a temporary directory that Close removes.
	DataDir string

	// ClientAddr is where the first member serves its clients: [Unix], or host:port. The
	// host is an IP address or localhost; port 0 stands for any free port. The other
	// members take free ports of the same host, or sockets. Defaults to Unix in Start,
	// and to "127.0.0.1:0" in Run.
	ClientAddr string

	// Fsync makes every write wait for the disk. Without it, data survive the process
	// but not a crash of the machine. Defaults to false.
	Fsync bool

	// QuotaBytes is the size of the database at which a member raises the
	// NOSPACE alarm and refuses writes. Defaults to etcd's own 2 GiB.
	QuotaBytes int64

	// Log receives etcd's own log lines of level error and above. Defaults to
	// discarding them.
	Log logr.Logger
}

func (o Options) withDefaults(addr string) (Options, error) {
	if o.Members == 0 {
		o.Members = 1
	}
	if o.Members < 0 {
		return o, fmt.Errorf("options: %d members", o.Members)
	}
	if o.ClientAddr == "" {
		o.ClientAddr = addr
	}
	return o, nil
}
