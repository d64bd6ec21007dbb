package etcdtest

import (
	"net/url"

	"go.etcd.io/etcd/server/v3/embed"
)

// Raft's heartbeat interval and election timeout, in milliseconds. They are shortest for
// a single member, which elects itself. Several members must not depose a leader only
// because the machine is busy.
const (
	loneTick, loneElection = 10, 100
	tick, election         = 20, 200
)

// bcryptCost is the minimum: checking a password takes about a millisecond rather than
// a hundred.
const bcryptCost = 4

func (m *Member) config(listen address) *embed.Config {
	c := m.cluster
	cfg := embed.NewConfig()
	cfg.Name = m.name
	cfg.Dir = c.home.member(m.name)
	cfg.InitialCluster = c.initialCluster()
	cfg.InitialClusterToken = c.id()
	cfg.TickMs, cfg.ElectionMs = tick, election
	if c.options.Members == 1 {
		cfg.TickMs, cfg.ElectionMs = loneTick, loneElection
	}

	cfg.ListenClientUrls = []url.URL{listen.parts()}
	cfg.AdvertiseClientUrls = []url.URL{listen.reachable().parts()}
	// Members reach each other through links, so that a member may use another port
	// after a restart.
	cfg.ListenPeerUrls = []url.URL{tcp("127.0.0.1:0").parts()}
	if m.peer == nil {
		cfg.ListenPeerUrls = nil
	}
	cfg.AdvertisePeerUrls = []url.URL{tcp(peerAddr(m.peer)).parts()}

	cfg.UnsafeNoFsync = !c.options.Fsync
	cfg.QuotaBackendBytes = c.options.QuotaBytes
	cfg.BcryptCost = bcryptCost
	cfg.EnableGRPCGateway = false
	return cfg
}
