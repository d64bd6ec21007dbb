package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
)

// stopBound is how long a member may take to stop. It takes milliseconds.
const stopBound = 30 * time.Second

// process is a running member, from one start to the next stop.
type process struct {
	etcd *embed.Etcd
	grpc atomic.Pointer[grpc.Server] // set by etcd when it starts to serve
	mute *atomic.Bool

	// starting is closed when etcd has started or failed. An etcd that starts after
	// start was abandoned is stopped before.
	starting <-chan struct{}
}

// start starts etcd. Wait for ready until it has joined the cluster.
func (p *process) start(ctx context.Context, cluster string, log logr.Logger, cfg *embed.Config) error {
	lg, mute := newLog(log.WithValues("member", cfg.Name))
	p.mute = mute
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(lg)
	cfg.ServiceRegister = func(s *grpc.Server) { p.grpc.Store(s) }

	outcome := make(chan error)
	p.starting = tagged(cluster, func() {
		var err error
		p.etcd, err = startEtcd(cfg)
		select {
		case outcome <- err:
		case <-ctx.Done():
			if err == nil {
				_ = p.stop()
			}
		}
	})
	// StartEtcd cannot be interrupted, but it can be abandoned.
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startEtcd turns a panic into an error.
func startEtcd(cfg *embed.Config) (e *embed.Etcd, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("etcd gave up: %v", r)
		}
	}()
	return embed.StartEtcd(cfg)
}

// ready waits until the member serves clients. That needs a leader.
func (p *process) ready(ctx context.Context) error {
	select {
	case <-p.etcd.Server.ReadyNotify():
		return nil
	case <-p.etcd.Server.StopNotify():
		return errors.New("etcd stopped by itself")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop ends the member like a kill, without notice to its clients and peers, except that it
// closes its files.
func (p *process) stop() error {
	p.mute.Store(true)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		// etcd's own Close waits seconds for every open watch to end.
		if s := p.grpc.Load(); s != nil {
			s.Stop()
		}
		// HardStop does not hand the leadership over first.
		p.etcd.Server.HardStop()
		p.etcd.Close()
	}()
	select {
	case <-stopped:
		return nil
	case <-time.After(stopBound):
		return fmt.Errorf("etcd is still running %v after the call to stop it", stopBound)
	}
}
