package etcdtest

// Isolate cuts member i off from all other members. Messages between it and them are
// silently lost, as in a partition of the network. Clients still reach the member. Several
// members can be isolated, each alone. An isolation lasts until Heal, even if members are
// restarted.
//
// An isolated leader steps down. The others elect a new leader if they are a majority,
// after an election timeout of at least 200 ms; use [Cluster.Leader] to wait for it.
func (c *Cluster) Isolate(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members[i].isolated = true
	c.partition()
}

// Heal ends every isolation. It does not wait until the members have a common leader; use
// [Cluster.Leader] to wait for it.
func (c *Cluster) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		m.isolated = false
	}
	c.partition()
}

// partition tells every running member which peers to talk to. It is called with mu held,
// whenever isolations change and whenever a member has started.
//
// The members themselves drop raft's messages, because a link does not know which member
// a connection comes from.
func (c *Cluster) partition() {
	for _, m := range c.members {
		if m.process == nil {
			continue
		}
		for _, peer := range c.members {
			server := m.process.etcd.Server
			switch {
			case peer == m || peer.id == 0:
			case m.isolated || peer.isolated:
				server.CutPeer(peer.id)
			default:
				server.MendPeer(peer.id)
			}
		}
	}
}
