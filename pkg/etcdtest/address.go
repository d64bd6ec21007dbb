package etcdtest

import (
	"fmt"
	"net"
	"net/url"
)

// address is a network and an address, as in package net.
type address struct {
	network, addr string
}

func tcp(addr string) address  { return address{"tcp", addr} }
func unix(path string) address { return address{"unix", path} }

func addressOf(a net.Addr) address {
	return address{a.Network(), a.String()}
}

// url returns the address in the form that etcd uses.
func (a address) url() string {
	u := a.parts()
	return u.String()
}

func (a address) parts() url.URL {
	if a.network == "unix" {
		return url.URL{Scheme: "unix", Path: a.addr}
	}
	return url.URL{Scheme: "http", Host: a.addr}
}

// reachable returns the address at which clients on this machine reach a listener at a:
// loopback for a listener on every interface.
func (a address) reachable() address {
	host, port, err := net.SplitHostPort(a.addr)
	if a.network != "tcp" || err != nil {
		return a
	}
	ip := net.ParseIP(host)
	switch {
	case ip == nil || !ip.IsUnspecified():
		return a
	case ip.To4() != nil:
		return tcp(net.JoinHostPort("127.0.0.1", port))
	default:
		return tcp(net.JoinHostPort("::1", port))
	}
}

// clientAddresses returns where the members should serve clients.
func clientAddresses(o Options, h *home) ([]address, error) {
	var list []address
	if o.ClientAddr == Unix {
		for i := range o.Members {
			list = append(list, h.socket(fmt.Sprintf("c%d", i)))
		}
		return list, nil
	}
	host, port, err := net.SplitHostPort(o.ClientAddr)
	if err != nil {
		return nil, fmt.Errorf("client address: %w", err)
	}
	if host != "localhost" && net.ParseIP(host) == nil {
		return nil, fmt.Errorf("client address %q: the host must be an IP address or localhost", o.ClientAddr)
	}
	for range o.Members {
		list = append(list, tcp(net.JoinHostPort(host, port)))
		port = "0"
	}
	return list, nil
}

// freePort replaces port 0 by a port that is free now. Another process may take the port
// before it is used: the caller must be ready to ask again.
func freePort(a address) (address, error) {
	host, port, err := net.SplitHostPort(a.addr)
	if a.network != "tcp" || err != nil || port != "0" {
		return a, nil
	}
	ln, err := net.Listen("tcp", a.addr)
	if err != nil {
		return a, fmt.Errorf("find a free port: %w", err)
	}
	defer ln.Close()
	_, port, err = net.SplitHostPort(ln.Addr().String())
	return tcp(net.JoinHostPort(host, port)), err
}
