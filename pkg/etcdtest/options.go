package etcdtest

import (
	"fmt"

	"github.com/go-logr/logr"
)

// Unix is the Options.ClientAddr that asks for unix sockets in a private temporary
// directory: faster than TCP, and with no port that another process may take.
const Unix = "unix"

// Options says what cluster to start. The zero value is a cluster of one
// member whose data are gone after Close.
type Options struct {
	// Members is how many members the cluster has. A cluster started before
	// under the same DataDir must be started with as many. Defaults to 1.
	Members int

	// DataDir keeps the data: the next cluster started there serves them
	// again. It is made if it does not exist, and only one cluster at a time
	// can use it. Defaults to a temporary directory that Close removes.
	DataDir string

	// ClientAddr is where the first member serves its clients: Unix, or
	// host:port, where host is an IP address or localhost, and port 0 stands
	// for any free one. The other members take free ports of the same host,
	// or sockets. Defaults to Unix in Start, to "127.0.0.1:0" in Run.
	ClientAddr string

	// Fsync has every write wait for the disk. Without it data outlive the
	// process, but not a crash of the machine. Defaults to false.
	Fsync bool

	// QuotaBytes is the size of the database at which a member raises the
	// NOSPACE alarm and refuses writes. Defaults to etcd's own 2 GiB.
	QuotaBytes int64

	// Log receives what etcd itself logs as an error or worse. The zero value
	// is silent.
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
