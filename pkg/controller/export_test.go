package controller

import (
	"net"
	"time"
)

// ListenWith replaces the function with which a manager listens, which is net.Listen.
func ListenWith(m *Manager, listen func(network, address string) (net.Listener, error)) {
	m.openSocket = listen
}

// SetTermLag makes a manager that has not run yet give up its terms after another lag than
// [minTermLag].
func SetTermLag(m *Manager, lag time.Duration) {
	if m.election != nil {
		m.election.lag.max = lag
	}
	if m.sharder != nil {
		m.sharder.lag.max = lag
	}
}

// TermLag returns the lag after which a manager gives up its leadership.
func TermLag(m *Manager) time.Duration { return m.election.lag.max }
