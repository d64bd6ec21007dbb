package etcdtest

import (
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// dialBound is how long a link tries to reach a member on this machine.
	dialBound = 5 * time.Second
	// acceptPause keeps a failing listener from spinning.
	acceptPause = 10 * time.Millisecond
)

// Link is a proxy in front of one member, made by [Member.NewLink]. It can cut the clients
// that use it off from the member, and disturbs no other client. A new link is healed. Its
// methods are safe for concurrent use.
type Link struct {
	ln        net.Listener
	serving   sync.WaitGroup  // the sessions' goroutines
	accepting <-chan struct{} // closed when the accepting goroutine has ended

	// mu is held briefly. A session's mu may be taken under it.
	mu       sync.Mutex
	target   address // of the member
	sessions map[*session]struct{}
	gate     chan struct{} // closed while bytes may pass
	cut      bool          // new connections are closed at once
	closed   bool
}

func newLink(cluster string, listen, target address) (*Link, error) {
	ln, err := net.Listen(listen.network, listen.addr)
	if err != nil {
		return nil, fmt.Errorf("open a link: %w", err)
	}
	open := make(chan struct{})
	close(open)
	l := &Link{ln: ln, target: target, sessions: map[*session]struct{}{}, gate: open}
	l.accepting = tagged(cluster, l.accept)
	return l, nil
}

// Endpoint is the URL at which clients reach the member through this link.
func (l *Link) Endpoint() string {
	return addressOf(l.ln.Addr()).url()
}

// Cut closes every connection and, until Heal, each new one. Clients notice at once.
func (l *Link) Cut() {
	l.mu.Lock()
	l.cut = true
	l.mu.Unlock()
	l.drop()
}

// Freeze holds back every byte in both directions until Heal. It neither closes nor refuses
// connections: it is a silent partition. Bytes that a client has sent before may still
// arrive.
func (l *Link) Freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
	if l.passing() {
		l.gate = make(chan struct{})
	}
}

// Heal ends Cut and Freeze. Frozen connections continue where they stopped, and lose no
// bytes.
func (l *Link) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
	if !l.passing() {
		close(l.gate)
	}
}

// Close closes the link and its connections, and returns when its goroutines have ended.
// The cluster's Close closes the links that are left. Later calls do nothing.
func (l *Link) Close() error {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.mu.Unlock()
	if !first {
		return nil
	}
	err := l.ln.Close()
	l.drop()
	<-l.accepting
	l.serving.Wait()
	return err
}

// aim changes the address of the member.
func (l *Link) aim(target address) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = target
}

func (l *Link) passing() bool {
	select {
	case <-l.gate:
		return true
	default:
		return false
	}
}

func (l *Link) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.sessions {
		s.end()
	}
}

func (l *Link) accept() {
	for {
		conn, err := l.ln.Accept()
		if err == nil {
			l.admit(conn)
			continue
		}
		l.mu.Lock()
		closed := l.closed
		l.mu.Unlock()
		if closed {
			return
		}
		time.Sleep(acceptPause)
	}
}

func (l *Link) admit(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut || l.closed {
		_ = conn.Close()
		return
	}
	s := newSession(conn)
	l.sessions[s] = struct{}{}
	l.serving.Go(func() {
		l.serve(s)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.sessions, s)
	})
}

func (l *Link) serve(s *session) {
	defer s.end()
	if !l.wait(s) {
		return
	}
	l.mu.Lock()
	target := l.target
	l.mu.Unlock()
	member, err := net.DialTimeout(target.network, target.addr, dialBound)
	if err != nil || !s.join(member) {
		return
	}
	var pumps sync.WaitGroup
	pumps.Go(func() { l.pump(s, member, s.client) })
	pumps.Go(func() { l.pump(s, s.client, member) })
	pumps.Wait()
}

// pump copies bytes until either side closes, and then closes both: neither gRPC nor etcd's
// peers close half a connection.
func (l *Link) pump(s *session, dst, src net.Conn) {
	defer s.end()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if !l.wait(s) {
				return
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			// A frozen link must hold back a close too.
			l.wait(s)
			return
		}
	}
}

// wait returns true once bytes may pass, or false when the session has ended.
func (l *Link) wait(s *session) bool {
	l.mu.Lock()
	gate := l.gate
	l.mu.Unlock()
	select {
	case <-s.over:
		return false
	case <-gate:
		return true
	}
}
