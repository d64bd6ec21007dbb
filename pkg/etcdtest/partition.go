package etcdtest

// Isolate cuts member i off from all other members: what it and they say to
// each other is lost without a sign, as in a partition of the network. Clients
// still reach it. Several members can be isolated, each alone. It lasts until
// Heal, whether or not members are restarted meanwhile.
//
// Isolating a leader makes it step down, and the others elect a new one if they
// are a majority, after an election timeout of 200 ms or a little more.
func (c *Cluster) Isolate(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members[i].isolated = true
	c.partition()
}

// Heal ends every isolation. It does not wait until the members have found
// each other again.
func (c *Cluster) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		m.isolated = false
	}
	c.partition()
}

// partition tells every member that runs whom to talk to. It is called with
// mu held, and again whenever a member has started.
//
// Raft's messages are dropped inside the members, because a link cannot tell
// which member a connection comes from.
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
