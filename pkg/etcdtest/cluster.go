package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrClosed is the error of methods called after Close.
var ErrClosed = errors.New("the cluster is closed")

// Cluster is an etcd in this process. Its methods are safe for concurrent use.
type Cluster struct {
	options Options
	home    *home
	peers   []*Link // one for each member, to be reached through by the others
	members []*Member
	client  *clientv3.Client

	// lifecycle is held while members are started or stopped, by one caller at a time.
	// No wait under it takes longer than startBound. It guards each Member's starting.
	lifecycle sync.Mutex

	// mu is held briefly. Where both are held, lifecycle was taken first. It guards the
	// fields below, and those of each Member that say so.
	mu      sync.Mutex
	clients []*clientv3.Client
	links   []*Link
	closed  bool
}

// open starts the cluster and waits until it serves. Close undoes it, even if open fails
// halfway.
func (c *Cluster) open(ctx context.Context, o Options) (err error) {
	c.options = o
	if c.home, err = openHome(o.DataDir); err != nil {
		return err
	}
	listen, err := clientAddresses(o, c.home)
	if err != nil {
		return err
	}
	if c.peers, err = openPeers(c.home, o.Members); err != nil {
		return err
	}
	for i, peer := range c.peers {
		m := &Member{cluster: c, index: i, name: fmt.Sprintf("m%d", i), peer: peer, listen: listen[i]}
		c.members = append(c.members, m)
	}
	c.lifecycle.Lock()
	defer c.lifecycle.Unlock()
	if err := c.bringUp(ctx, c.members...); err != nil {
		return err
	}
	return c.connect(ctx)
}

// connect makes the shared client and connects it. It does so in a goroutine with the
// cluster's label, so that the goroutines of the connections inherit the label.
func (c *Cluster) connect(ctx context.Context) error {
	var err error
	done := tagged(c.home.tag(), func() {
		if c.client, err = c.NewClient(ClientOptions{}); err == nil {
			_, err = c.client.Get(ctx, "\x00")
		}
	})
	<-done
	if err != nil {
		return fmt.Errorf("first read: %w", err)
	}
	return nil
}

// Member returns the member with index i, counted from 0. It panics if there is none.
func (c *Cluster) Member(i int) *Member { return c.members[i] }

// Endpoints returns the URLs of all members, in the order of their indices.
func (c *Cluster) Endpoints() []string {
	var urls []string
	for _, m := range c.members {
		urls = append(urls, m.Endpoint())
	}
	return urls
}

// Wipe stops all members, removes their data, and starts them again, empty. The endpoints,
// the cluster id and the member ids stay the same. Revisions start again from 1, and
// clients get no sign of it. Wipe waits and gives up as [Member.Restart] does.
func (c *Cluster) Wipe(ctx context.Context) error {
	c.lifecycle.Lock()
	defer c.lifecycle.Unlock()
	if c.isClosed() {
		return fmt.Errorf("wipe: %w", ErrClosed) // another cluster may use the directory
	}
	for _, m := range c.members {
		if err := m.stop(); err != nil {
			return err
		}
	}
	for _, m := range c.members {
		if err := m.wipe(); err != nil {
			return err
		}
	}
	return c.bringUp(ctx, c.members...)
}

// bringUp starts members, and waits until all those that can serve do so. It is called
// with lifecycle held.
func (c *Cluster) bringUp(ctx context.Context, members ...*Member) error {
	if c.isClosed() {
		return fmt.Errorf("start members: %w", ErrClosed)
	}
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	for _, m := range members {
		if err := m.start(ctx); err != nil {
			return err
		}
	}
	return c.awaitReady(ctx)
}

// awaitReady waits until the members of the quorum serve and have a leader.
func (c *Cluster) awaitReady(ctx context.Context) error {
	c.mu.Lock()
	able := c.quorum()
	c.mu.Unlock()
	if able == nil {
		return nil
	}
	for _, m := range able {
		if err := m.process.ready(ctx); err != nil {
			return fmt.Errorf("wait for member %s: %w", m.name, err)
		}
	}
	_, err := c.Leader(ctx)
	return err
}

// quorum returns the members that run and can reach each other, or nil if they are no
// majority. It is called with mu held.
func (c *Cluster) quorum() []*Member {
	var able []*Member
	for _, m := range c.members {
		if m.process != nil && (!m.isolated || len(c.members) == 1) {
			able = append(able, m)
		}
	}
	if 2*len(able) <= len(c.members) {
		return nil
	}
	return able
}

// Close closes the clients and links that are left, stops all members, and removes the
// data unless Options.DataDir keeps them. It returns when the cluster's last goroutine has
// ended. Later calls do nothing.
func (c *Cluster) Close() error {
	c.lifecycle.Lock()
	defer c.lifecycle.Unlock()
	if !c.close() {
		return nil
	}
	errs := []error{c.closeClients(), c.stopAll(), closePeers(c.peers)}
	if c.home != nil {
		errs = append(errs, c.awaitEnd(), c.home.close())
	}
	return errors.Join(errs...)
}

// awaitEnd waits until the last goroutine of the cluster has ended.
func (c *Cluster) awaitEnd() error {
	return poll(stopBound, func() error {
		now, err := takeCensus()
		if err != nil {
			return err
		}
		return now.etcd[c.home.tag()].err()
	})
}

// close marks the cluster closed. It returns false if it is already.
func (c *Cluster) close() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.closed
	c.closed = true
	return !was
}

func (c *Cluster) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// stopAll stops the members at the same time, so that none waits for another.
func (c *Cluster) stopAll() error {
	errs := make([]error, len(c.members))
	var wg sync.WaitGroup
	for i, m := range c.members {
		wg.Go(func() { errs[i] = m.stop() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// initialCluster returns the list of members in the form that etcd uses.
func (c *Cluster) initialCluster() string {
	var list []string
	for _, m := range c.members {
		list = append(list, m.name+"="+tcp(peerAddr(m.peer)).url())
	}
	return strings.Join(list, ",")
}

// id is unique to the cluster; etcd hashes it into the cluster id. It survives a wipe, and
// a restart of the process if the data do.
func (c *Cluster) id() string { return c.home.data }
