package group

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"
)

// awaitConnection waits until the client is connected, as a request would. A
// write that is canceled here was certainly not sent. If it waited within gRPC,
// its outcome would be unknown.
func awaitConnection(ctx context.Context, client *clientv3.Client) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	conn := client.ActiveConnection()
	if conn == nil {
		return nil // not a client with a connection of its own
	}
	for {
		state := conn.GetState()
		switch state {
		case connectivity.Ready:
			return nil
		case connectivity.Shutdown:
			return errors.New("the etcd client is closed")
		}
		conn.Connect()
		if !conn.WaitForStateChange(ctx, state) {
			return fmt.Errorf("no connection to etcd: %w", ctx.Err())
		}
	}
}
