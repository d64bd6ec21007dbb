package controller

import "net"

// ListenWith replaces the function with which a manager listens, which is net.Listen.
func ListenWith(m *Manager, listen func(network, address string) (net.Listener, error)) {
	m.openSocket = listen
}
