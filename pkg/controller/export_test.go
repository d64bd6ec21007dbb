package controller

import "net"

// ListenWith has a manager listen otherwise than by net.Listen.
func ListenWith(m *Manager, listen func(network, address string) (net.Listener, error)) {
	m.openSocket = listen
}
