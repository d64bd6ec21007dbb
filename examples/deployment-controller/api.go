package main

import (
	"context"
	"net"

	"k8s.io/klog/v2"

	"github.com/homeostat/homeostat/pkg/apiserver"
	"github.com/homeostat/homeostat/pkg/controller"
)

// addAPI serves the Kubernetes API of the store, so that kubectl can be used. A program
// that ends by itself serves it only if it is told to.
func (p *program) addAPI() (err error) {
	o := p.options
	if o.api == "" || !o.apiGiven && (o.wait || len(o.controllers) == 0) {
		return nil
	}
	klog.SetLogger(p.log().V(1)) // the libraries of Kubernetes' API server log with it
	address := o.api
	if !o.apiGiven && !isFree(address) { // another such program runs
		address = "127.0.0.1:0"
	}
	if p.api, err = apiserver.New(p.manager, apiserver.Options{Address: address, Log: p.log().V(1)}); err != nil {
		return err
	}
	return p.manager.Add("api", p.api.Run, controller.RunnableOptions{EveryProcess: true})
}

// isFree reports whether a program can listen on an address.
func isFree(address string) bool {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// kubectl returns the command line of kubectl for the program's API, or "" if it serves
// none.
func (p *program) kubectl(ctx context.Context) (string, error) {
	if p.api == nil {
		return "", nil
	}
	url, err := p.api.URL(ctx)
	if err != nil {
		return "", err
	}
	return "kubectl --server=" + url, nil
}
