package lease

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// newSilentClient returns a client of an etcd that accepts connections and never
// answers.
func newSilentClient(t *testing.T) *clientv3.Client {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	go func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{socket.Addr().String()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func TestTimeoutsAreNamedAsSuch(t *testing.T) {
	client := newSilentClient(t)
	c := clocktesting.NewFakeClock(time.Unix(0, 0))
	w := NewKeyWatch(client, c, etcd.KeyRange("a"))
	for name, f := range map[string]func(context.Context) error{
		"Grant": func(ctx context.Context) error {
			_, err := Grant(ctx, client, c, time.Second)
			return err
		},
		"Revoke": (&Lease{client: client, clock: c}).Revoke,
		"Keep": func(ctx context.Context) error {
			return (&Lease{TTL: ttl, client: client, clock: c, granted: c.Now()}).Keep(ctx)
		},
		"List": func(ctx context.Context) error {
			_, err := w.List(ctx)
			return err
		},
		"open": func(ctx context.Context) error {
			ctx, cancel := context.WithCancelCause(ctx)
			_, err := w.open(ctx, cancel, 1)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			go func() { ended <- f(t.Context()) }()
			for {
				select {
				case err := <-ended:
					if err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "deadline exceeded") {
						t.Errorf("got %v", err)
					}
					return
				case <-time.After(5 * time.Millisecond):
					c.Step(time.Second)
				}
			}
		})
	}
}
