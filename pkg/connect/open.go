package connect

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// answerTimeout bounds the first request.
const answerTimeout = 5 * time.Second

// Open returns a client once etcd has answered it and has let the user read the given keys,
// such as [etcd.PrefixRange] of a store's prefix. The client notices a dead connection
// within 15 seconds, and reconnects within about 2 seconds once etcd is back.
//
// Open fails after 5 seconds without an answer. The error names the endpoints and, as far
// as it can be known, what is wrong with each. ctx bounds Open only: the caller must close
// the client.
func (o Options) Open(ctx context.Context, keys etcd.Range) (*clientv3.Client, error) {
	return o.open(ctx, keys, answerTimeout)
}

func (o Options) open(ctx context.Context, keys etcd.Range, timeout time.Duration) (*clientv3.Client, error) {
	if err := o.Check(); err != nil {
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
	client, err := clientv3.New(clientv3.Config{
		Endpoints: o.endpoints(), TLS: config, Username: name, Password: password,
		DialTimeout:          answerTimeout,
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second,
		DialOptions:          []grpc.DialOption{reconnectSoon()},
		Logger:               zap.NewNop(),
	})
	if err == nil {
		if err = reach(ctx, client, keys, timeout); err == nil {
			return client, nil
		}
		_ = client.Close() // the error to report is the other one
	}
	return nil, o.explain(ctx, config, err)
}

func reach(ctx context.Context, client *clientv3.Client, keys etcd.Range, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := client.Get(ctx, keys.Start, clientv3.WithRange(keys.End), clientv3.WithLimit(1), clientv3.WithKeysOnly())
	return err
}

// explain adds to an error what is wrong with each endpoint: that nothing listens there, or
// why TLS fails. The error of etcd's client does not say so.
func (o Options) explain(ctx context.Context, config *tls.Config, err error) error {
	at := "etcd at " + strings.Join(o.endpoints(), ",")
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	for _, endpoint := range o.endpoints() {
		if cause := probe(ctx, endpoint, config); cause != nil {
			err = fmt.Errorf("%w (%s: %w)", err, endpoint, cause)
		}
	}
	return fmt.Errorf("%s does not answer: %w", at, err)
}

func probe(ctx context.Context, endpoint string, config *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var dialer interface {
		DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	} = &net.Dialer{}
	network, addr := "tcp", endpoint
	switch scheme, rest, ok := strings.Cut(endpoint, "://"); {
	case !ok:
	case scheme == "https":
		dialer, addr = &tls.Dialer{Config: config}, rest
	case strings.HasPrefix(scheme, "unix"):
		network, addr = "unix", rest
	default:
		addr = rest
	}
	conn, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// reconnectSoon limits the pause between attempts to connect to 2 seconds. It would grow to
// 2 minutes.
func reconnectSoon() grpc.DialOption {
	return grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
		MinConnectTimeout: answerTimeout,
	})
}
