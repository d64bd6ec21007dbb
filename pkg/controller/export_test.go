package controller

import "net"

// BucketFor is for specs that look at etcd's history.
var BucketFor = bucketFor

// ListenWith has a manager listen otherwise than by net.Listen.
func ListenWith(m *Manager, listen func(network, address string) (net.Listener, error)) {
	m.listenAt = listen
}
