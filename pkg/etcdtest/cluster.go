package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrClosed is returned for what a cluster cannot do any more after Close.
var ErrClosed = errors.New("the cluster is closed")

// Cluster is an etcd in this process. It is safe for concurrent use.
type Cluster struct {
	options Options
	home    *home
	peers   []*Link // what the members reach each other through
	members []*Member
	client  *clientv3.Client

	// life is held while members are started or stopped, one change at
	// a time. Whoever holds it waits for nothing longer than startBound.
	life sync.Mutex

	// mu is held briefly, after life where both are held.
	mu      sync.Mutex
	clients []*clientv3.Client
	links   []*Link
	closed  bool
}

// open makes the cluster and waits until it serves. Close undoes what it did,
// also when it fails halfway.
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
	c.life.Lock()
	defer c.life.Unlock()
	if err := c.bringUp(ctx, c.members...); err != nil {
		return err
	}
	return c.connect(ctx)
}

// connect makes the shared client and has it connect, in a goroutine of the
// cluster's so that those of the connections are the cluster's too.
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

// Member returns the member with index i, which counts from 0.
func (c *Cluster) Member(i int) *Member { return c.members[i] }

// Endpoints returns the URLs of all members, in the order of their indices.
func (c *Cluster) Endpoints() []string {
	var urls []string
	for _, m := range c.members {
		urls = append(urls, m.Endpoint())
	}
	return urls
}

// Wipe stops all members, removes their data and starts them again, empty,
// under the same endpoints, cluster id and member ids: revisions begin anew,
// and clients are not told. It waits and gives up as Restart does.
func (c *Cluster) Wipe(ctx context.Context) error {
	c.life.Lock()
	defer c.life.Unlock()
	if c.isClosed() {
		return fmt.Errorf("wipe: %w", ErrClosed) // kept data are not ours any more
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

// bringUp starts members, and waits for all that can become ready. It is
// called with life held.
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
	return c.settle(ctx)
}

// settle waits for what can become ready, and for its leader.
func (c *Cluster) settle(ctx context.Context) error {
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

// quorum returns the members that run and can reach each other if they are
// a majority, and none otherwise. It is called with mu held.
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

// Close closes the clients and links that are left, stops all members, and
// removes what is not to be kept. It returns when all of that has ended. It
// may be called more than once; later calls do nothing.
func (c *Cluster) Close() error {
	c.life.Lock()
	defer c.life.Unlock()
	if !c.close() {
		return nil
	}
	errs := []error{c.hangUp(), c.stopAll(), closePeers(c.peers)}
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

// stopAll stops the members at the same time: none waits for another's lead.
func (c *Cluster) stopAll() error {
	errs := make([]error, len(c.members))
	var wg sync.WaitGroup
	for i, m := range c.members {
		wg.Go(func() { errs[i] = m.stop() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// initialCluster is the list of members as etcd writes it.
func (c *Cluster) initialCluster() string {
	var list []string
	for _, m := range c.members {
		list = append(list, m.name+"="+tcp(peerAddr(m.peer)).url())
	}
	return strings.Join(list, ",")
}

// id tells clusters apart. It survives a wipe, and a restart of the process if
// the data do; etcd hashes it into the cluster id.
func (c *Cluster) id() string { return c.home.data }
