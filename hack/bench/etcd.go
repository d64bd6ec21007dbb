package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// quota leaves room for a million objects.
const quota = 8 << 30

// serveEtcd runs an embedded etcd with one member, on a unix socket and without fsync.
// It has its own process, so that it does not share a heap and a garbage collector with
// the measured code. It prints its endpoint and serves until its input is closed.
func serveEtcd(ctx context.Context, _ []byte) (any, error) {
	cluster, err := etcdtest.Run(ctx, etcdtest.Options{ClientAddr: etcdtest.Unix, QuotaBytes: quota})
	if err != nil {
		return nil, err
	}
	fmt.Println(cluster.Endpoints()[0])
	_, _ = io.Copy(io.Discard, os.Stdin) // however it ends
	return nil, cluster.Close()
}

// startEtcd starts an empty etcd, which serves until stop is called.
func (b *bench) startEtcd(ctx context.Context) (endpoint string, stop func(), err error) {
	cmd, err := b.command(ctx, "etcd", "")
	if err != nil {
		return "", nil, err
	}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	out := bufio.NewReader(stdout)
	stop = func() {
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}
	line, err := out.ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("start etcd: %w", err)
	}
	return strings.TrimSpace(line), stop, nil
}

// seededEtcd starts an etcd with the given number of Deployments.
func (b *bench) seededEtcd(ctx context.Context, objects int) (endpoint string, stop func(), err error) {
	endpoint, stop, err = b.startEtcd(ctx)
	if err != nil {
		return "", nil, err
	}
	if _, err := call[struct{}](ctx, b, "seed", "", seedArgs{endpoint, objects}); err != nil {
		stop()
		return "", nil, err
	}
	return endpoint, stop, nil
}

type seedArgs struct {
	Endpoint string
	Objects  int
}

// seed puts Deployments into etcd, a hundred in each transaction.
func seed(ctx context.Context, args seedArgs) (struct{}, error) {
	const writers, batch = 8, 100
	client, err := connect(ctx, args.Endpoint)
	if err != nil {
		return struct{}{}, err
	}
	defer client.Close()
	var group errgroup.Group
	group.SetLimit(writers)
	for from := 0; from < args.Objects; from += batch {
		group.Go(func() error {
			var puts []clientv3.Op
			for i := from; i < min(from+batch, args.Objects); i++ {
				puts = append(puts, clientv3.OpPut(deploymentKey(i), string(encodeDeployment(i, 0))))
			}
			_, err := client.Txn(ctx).Then(puts...).Commit()
			return err
		})
	}
	return struct{}{}, group.Wait()
}

// connect returns a connected client.
func connect(ctx context.Context, endpoint string, options ...grpc.DialOption) (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{endpoint}, DialTimeout: 10 * time.Second, DialOptions: options, Logger: zap.NewNop(),
	})
	if err != nil {
		return nil, err
	}
	if _, err := client.Get(ctx, "/", clientv3.WithCountOnly()); err != nil {
		_ = client.Close()
		return nil, err
	}
	return client, nil
}
