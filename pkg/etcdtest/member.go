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

// portTries is how many free ports are tried. Another process may take a port before it is
// used.
const portTries = 5

// Member is one server of a cluster. Its methods are safe for concurrent use.
type Member struct {
	cluster *Cluster
	index   int
	name    string
	peer    *Link // the other members reach it through the link; nil if there are none

	// cluster.lifecycle guards starting.
	starting <-chan struct{} // of the last start; see process.starting

	// cluster.mu guards these.
	listen   address  // for clients; with its port from the first start on
	process  *process // nil while it is stopped
	id       types.ID // set by the first start
	isolated bool
}

// Endpoint is the URL at which clients reach the member. It stays the same
// when the member is stopped and started again.
func (m *Member) Endpoint() string {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	return m.listen.reachable().url()
}

// NewLink opens a proxy in front of the member, for clients that a test cuts off from it.
// The caller may close it; the cluster's Close closes the links that are left.
func (m *Member) NewLink() (*Link, error) {
	return m.cluster.newLink(m)
}

// Stop stops the member like a kill: its connections break at once, and its data stay. It
// does nothing if the member is stopped already.
func (m *Member) Stop() error {
	m.cluster.lifecycle.Lock()
	defer m.cluster.lifecycle.Unlock()
	return m.stop()
}

// Restart stops the member if it runs, and starts it again with its data, at the same
// endpoint. If the members that run and are not isolated are a majority, Restart returns
// when all of them serve. Otherwise none can serve, and it returns at once.
//
// Restart returns an error when the context ends, and after a minute. The member is then
// stopped, or started but not ready.
func (m *Member) Restart(ctx context.Context) error {
	m.cluster.lifecycle.Lock()
	defer m.cluster.lifecycle.Unlock()
	if err := m.stop(); err != nil {
		return err
	}
	return m.cluster.bringUp(ctx, m)
}

// Wipe replaces the only member of a cluster by an empty one, as [Cluster.Wipe] does. It
// fails if the cluster has several members: a member that has forgotten its votes must
// not come back.
func (m *Member) Wipe(ctx context.Context) error {
	if n := len(m.cluster.members); n > 1 {
		return fmt.Errorf("wipe %s: only all %d members can be wiped, together", m.name, n)
	}
	return m.cluster.Wipe(ctx)
}

// The methods below are called with cluster.lifecycle held.

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

// awaitStart waits for an abandoned start that is still running: it would compete with the
// next one for files and sockets.
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
