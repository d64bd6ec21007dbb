package etcdtest

import (
	"net"
	"sync"
)

// session is one client's connection through a link.
type session struct {
	client net.Conn
	over   chan struct{} // closed, under mu, when the session ends

	mu     sync.Mutex
	member net.Conn // nil until the member is connected
}

func newSession(client net.Conn) *session {
	return &session{client: client, over: make(chan struct{})}
}

// join adds the connection to the member. If the session has ended, join closes the
// connection and returns false.
func (s *session) join(member net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended() {
		_ = member.Close()
		return false
	}
	s.member = member
	return true
}

// end closes both connections. It may be called more than once.
func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended() {
		return
	}
	close(s.over)
	_ = s.client.Close()
	if s.member != nil {
		_ = s.member.Close()
	}
}

func (s *session) ended() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}
