package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
)

// portTries is how many free ports are tried. One may be taken by another
// process between the look and the use.
const portTries = 5

// Member is one server of a cluster. It is safe for concurrent use.
type Member struct {
	cluster *Cluster
	index   int
	name    string
	peer    *Link // what the other members reach it through; nil if alone

	// Guarded by cluster.life: the last start, see process.starting.
	starting <-chan struct{}

	// Guarded by cluster.mu.
	listen   address  // for clients; has a port of its own from the first start on
	process  *process // nil while it is stopped
	id       types.ID // known from the first start on
	isolated bool
}

// Endpoint is the URL at which clients reach the member. It stays the same
// when the member is stopped and started again.
func (m *Member) Endpoint() string {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	return m.listen.reachable().url()
}

// NewLink opens a proxy in front of the member, for clients that are to be cut
// off from it. The caller may close it; the cluster's Close does it otherwise.
func (m *Member) NewLink() (*Link, error) {
	return m.cluster.newLink(m)
}

// Stop stops the member as a kill would: its connections break at once. Its
// data stay. Stopping a member that is stopped does nothing.
func (m *Member) Stop() error {
	m.cluster.life.Lock()
	defer m.cluster.life.Unlock()
	return m.stop()
}

// Restart starts the member again with the data that it has, at the same
// endpoint, after it has stopped it if need be. If most members run and are not
// isolated, this one among them, Restart returns when all of those are ready to
// serve; otherwise nothing can be ready, and it returns at once.
//
// Restart gives up when the context ends, and after a minute. The member is
// then left stopped, or started and not ready.
func (m *Member) Restart(ctx context.Context) error {
	m.cluster.life.Lock()
	defer m.cluster.life.Unlock()
	if err := m.stop(); err != nil {
		return err
	}
	return m.cluster.bringUp(ctx, m)
}

// Wipe replaces the only member of a cluster by an empty one with the same
// endpoint, cluster id and member id: revisions begin anew. It fails if the
// cluster has several members, since one that forgot its votes cannot be let
// back in: see Cluster.Wipe.
func (m *Member) Wipe(ctx context.Context) error {
	if n := len(m.cluster.members); n > 1 {
		return fmt.Errorf("wipe %s: only all %d members can be wiped, together", m.name, n)
	}
	return m.cluster.Wipe(ctx)
}

// The rest is called with cluster.life held.

func (m *Member) start(ctx context.Context) error {
	for try := 1; ; try++ {
		listen, err := freePort(m.listen)
		if err != nil {
			return err
		}
		p := &process{}
		err = p.start(ctx, m.cluster.home.tag(), m.cluster.options.Log, m.config(listen))
		m.starting = p.starting
		if err == nil {
			m.started(p, listen)
			return nil
		}
		chosen := listen != m.listen
		if !chosen || try == portTries || !errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("start member %s: %w", m.name, err)
		}
	}
}

func (m *Member) started(p *process, listen address) {
	c := m.cluster
	c.mu.Lock()
	m.process, m.listen, m.id = p, listen, p.etcd.Server.MemberID()
	c.partition()
	c.mu.Unlock()
	if m.peer != nil {
		m.peer.aim(addressOf(p.etcd.Peers[0].Addr()))
		m.peer.Heal()
	}
}

func (m *Member) stop() error {
	if err := m.awaitStart(); err != nil {
		return err
	}
	c := m.cluster
	c.mu.Lock()
	p := m.process
	m.process = nil
	c.mu.Unlock()
	if p == nil {
		return nil
	}
	if m.peer != nil {
		m.peer.Cut()
	}
	if err := p.stop(); err != nil {
		return fmt.Errorf("stop member %s: %w", m.name, err)
	}
	return nil
}

// awaitStart waits for a start that was given up and is still under way. The
// next one would be at odds with it over files and sockets.
func (m *Member) awaitStart() error {
	if m.starting == nil {
		return nil
	}
	select {
	case <-m.starting:
		return nil
	case <-time.After(stopBound):
		return fmt.Errorf("member %s is still starting after %v", m.name, stopBound)
	}
}

func (m *Member) wipe() error {
	if err := os.RemoveAll(m.cluster.home.member(m.name)); err != nil {
		return fmt.Errorf("remove the data of member %s: %w", m.name, err)
	}
	return nil
}
