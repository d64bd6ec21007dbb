package etcdtest

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
)

const (
	// Peer ports lie below the ranges that systems use for outgoing connections, so that
	// a kept cluster finds them free again.
	minPeerPort, maxPeerPort = 20000, 30000
	peerPortTries            = 100

	// noPeer is the peer address of a member without peers.
	noPeer = "127.0.0.1:0"
)

// openPeers opens the links through which n members reach each other. Their addresses are
// part of the data: kept data keep them. A single member has no link.
func openPeers(h *home, n int) ([]*Link, error) {
	addrs, err := readPeers(h)
	if err != nil {
		return nil, err
	}
	if addrs == nil {
		addrs = make([]string, n)
	}
	if len(addrs) != n {
		return nil, fmt.Errorf("data directory %s holds a cluster of %d members, not %d", h.data, len(addrs), n)
	}
	links := make([]*Link, n)
	for i := range n {
		if n > 1 {
			links[i], err = newPeerLink(h, addrs[i])
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("peers of member m%d: %w", i, err), closePeers(links))
		}
		addrs[i] = peerAddr(links[i])
	}
	if err := writePeers(h, addrs); err != nil {
		return nil, errors.Join(err, closePeers(links))
	}
	return links, nil
}

// newPeerLink opens a link at the address, or at a random port if the address is empty.
// The link refuses connections until a member listens at its other end.
func newPeerLink(h *home, addr string) (l *Link, err error) {
	tries := 1
	if addr == "" {
		tries = peerPortTries
	}
	for range tries {
		at := addr
		if at == "" {
			at = fmt.Sprintf("127.0.0.1:%d", minPeerPort+rand.IntN(maxPeerPort-minPeerPort))
		}
		if l, err = newLink(h.tag(), tcp(at), address{}); err == nil {
			l.Cut()
			return l, nil
		}
	}
	return nil, err
}

func peerAddr(l *Link) string {
	if l == nil {
		return noPeer
	}
	return l.ln.Addr().String()
}

func closePeers(links []*Link) error {
	var errs []error
	for _, l := range links {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// readPeers returns the addresses, or nil if the data are new.
func readPeers(h *home) ([]string, error) {
	b, err := os.ReadFile(h.peers())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the peers' addresses: %w", err)
	}
	return strings.Fields(string(b)), nil
}

func writePeers(h *home, addrs []string) error {
	// It is written aside and renamed: half a list would look like a smaller cluster.
	next := h.peers() + ".next"
	if err := os.WriteFile(next, []byte(strings.Join(addrs, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the peers' addresses: %w", err)
	}
	if err := os.Rename(next, h.peers()); err != nil {
		return fmt.Errorf("write the peers' addresses: %w", err)
	}
	return nil
}
