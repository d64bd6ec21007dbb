package connect

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// answerTimeout bounds the first request.
const answerTimeout = 5 * time.Second

// authTimeout is how long one of several members may take to check the user's password.
const authTimeout = 2 * time.Second

// probeDelay is how long Open waits for an answer before it looks for the cause.
const probeDelay = 250 * time.Millisecond

// Open returns a client once etcd has answered it and has let the user read the given keys,
// such as [etcd.PrefixRange] of a store's prefix. The client notices a dead connection
// within 15 seconds, and reconnects within about 2 seconds once etcd is back.
//
// Open waits up to 5 seconds for an etcd that does not answer yet. It fails at once if
// waiting hardly helps: if the options contradict each other (see [Options.Check]), if
// etcd rejects the user, or if at every endpoint TLS fails, nothing listens or the host
// is unknown. A program that starts beside its etcd calls Open again, or is restarted. The error names the endpoints
// and, as far as it can be known, what is wrong with each. It contains no password. ctx
// bounds Open only: the caller must close the client.
func (o Options) Open(ctx context.Context, keys etcd.Range) (*clientv3.Client, error) {
	return o.open(ctx, keys, answerTimeout)
}

func (o Options) open(ctx context.Context, keys etcd.Range, timeout time.Duration) (*clientv3.Client, error) {
	endpoints, err := o.check()
	if err != nil {
		return nil, err
	}
	name, password, err := o.credentials()
	if err != nil {
		return nil, err
	}
	config, err := o.tls()
	if err != nil {
		return nil, err
	}
	attempt, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	lasting := make(chan []error, 1)
	go func() {
		defer close(lasting)
		if faults := lastingFaults(attempt, endpoints, config); faults != nil {
			lasting <- faults
			cancel()
		}
	}()
	client, err := dial(attempt, keys, clientv3.Config{
		Endpoints: o.endpoints(), TLS: config, Username: name, Password: password,
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second,
		DialOptions:          []grpc.DialOption{reconnectSoon()},
		Logger:               zap.NewNop(),
	})
	timedOut := ctx.Err() == nil && errors.Is(attempt.Err(), context.DeadlineExceeded)
	cancel()
	faults := <-lasting
	where := "etcd at " + strings.Join(etcd.RedactEndpoints(o.endpoints()...), ",")
	switch {
	case err == nil:
		return client, nil
	case faults != nil:
		return nil, fmt.Errorf("%s does not answer: %w", where, joinFaults(endpoints, faults))
	case timedOut:
		faults = probeAll(ctx, endpoints, config)
		return nil, fmt.Errorf("%s does not answer: %w (%w)", where, context.DeadlineExceeded, joinFaults(endpoints, faults))
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	return nil, fmt.Errorf("%s: %w", where, err)
}

// dial returns a client that has read keys. ctx does not bound the client's life.
func dial(ctx context.Context, keys etcd.Range, config clientv3.Config) (*clientv3.Client, error) {
	client, err := newClient(ctx, config)
	if err != nil {
		return nil, err
	}
	_, err = etcd.GetRange(ctx, client, keys.Start, clientv3.WithRange(keys.End), clientv3.WithLimit(1), clientv3.WithKeysOnly())
	if err != nil {
		_ = client.Close() // the error to report is the other one
		return nil, err
	}
	return client, nil
}

// newClient calls clientv3.New, which sends the user's password to one member, and calls it
// again if that member cannot serve. clientv3.New knows no context but that of the client's life.
func newClient(ctx context.Context, config clientv3.Config) (*clientv3.Client, error) {
	backoff := retry.NewBackoff(clock.RealClock{}, 25*time.Millisecond, time.Second)
	if len(config.Endpoints) > 1 {
		config.DialTimeout = authTimeout
	}
	for {
		life, end := context.WithCancel(clientv3.WithRequireLeader(context.Background()))
		config.Context = life
		release := context.AfterFunc(ctx, end)
		client, err := clientv3.New(config)
		released := release()
		switch {
		case err == nil && released:
			return client, nil
		case err == nil:
			_ = client.Close()
			return nil, ctx.Err()
		}
		late := errors.Is(err, context.DeadlineExceeded) || etcd.ErrorCode(err) == codes.DeadlineExceeded
		if !late && !etcd.Resumable(err) || backoff.Wait(ctx) != nil {
			return nil, err
		}
	}
}

// lastingFaults returns what is wrong with the endpoints if waiting mends none of it, and else
// nil. It leaves time for an answer first, since most of the time nothing is wrong.
func lastingFaults(ctx context.Context, endpoints []endpoint, config *tls.Config) []error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(probeDelay):
	}
	faults := probeAll(ctx, endpoints, config)
	if !allLast(faults) {
		return nil
	}
	return faults
}

// joinFaults returns one error, on one line.
func joinFaults(endpoints []endpoint, faults []error) error {
	var joined error
	for i, fault := range faults {
		if fault == nil {
			fault = errors.New("it answers, but not in time")
		}
		fault = fmt.Errorf("%s: %w", endpoints[i].given, fault)
		if joined == nil {
			joined = fault
		} else {
			joined = fmt.Errorf("%w; %w", joined, fault)
		}
	}
	return joined
}

// reconnectSoon limits the pause between attempts to connect to 2 seconds. It would grow to
// 2 minutes.
func reconnectSoon() grpc.DialOption {
	return grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
		MinConnectTimeout: answerTimeout,
	})
}
