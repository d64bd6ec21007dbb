package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/homeostat/homeostat/pkg/informer"
)

// The sides of checkpointScenario.
const (
	fromCheckpoint = "from a checkpoint"
	fromNothing    = "from nothing"
)

// checkpointScenario measures restarts with and without a checkpoint, after different
// numbers of missed changes.
func checkpointScenario(ctx context.Context, b *bench) ([]Row, error) {
	n := slices.Max(b.scale.caches)
	endpoint, stop, err := b.seededEtcd(ctx, n)
	if err != nil {
		return nil, err
	}
	defer stop()
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	saved := filepath.Join(dir, "saved")
	if _, err := call[sample](ctx, b, "restart", "", restartArgs{Endpoint: endpoint, Objects: n, Path: saved}); err != nil {
		return nil, err
	}
	var rows []Row
	missed := 0
	for round, changes := range b.scale.missed {
		b.logf("checkpoint: %d missed changes", changes)
		if _, err := call[struct{}](ctx, b, "change", "", changeArgs{Endpoint: endpoint, Objects: n, From: missed, To: changes, Version: round + 1}); err != nil {
			return nil, err
		}
		missed = changes
		found, err := interleave(ctx, min(b.scale.rounds, 3), []string{fromCheckpoint, fromNothing}, func(ctx context.Context, side string, round int) (sample, error) {
			args := restartArgs{Endpoint: endpoint, Objects: n}
			if side == fromCheckpoint {
				args.Path = filepath.Join(dir, strconv.Itoa(round))
				if err := copyFile(saved, args.Path); err != nil {
					return nil, err
				}
			}
			return call[sample](ctx, b, "restart", "", args)
		})
		if err != nil {
			return nil, err
		}
		rows = append(rows, restartRows(n, changes, found)...)
	}
	return rows, nil
}

func restartRows(n, changes int, found results) []Row {
	row := func(what, unit, metric string) Row {
		return Row{Name: fmt.Sprintf("%s, %s Deployments, %s changes missed", what, count(n), count(changes)), Unit: unit, Ours: found.value(fromCheckpoint, metric), Peer: found.value(fromNothing, metric)}
	}
	const of = fromCheckpoint + " / " + fromNothing
	return []Row{
		row("restart from a checkpoint", "s", "seconds").compare(of, found.ratios(fromCheckpoint, fromNothing, "seconds"), aim{atMost: 1.1}),
		row("CPU time of a restart from a checkpoint", "s", "cpu").compare(of, found.ratios(fromCheckpoint, fromNothing, "cpu"), aim{}),
		row("read from etcd at a restart from a checkpoint", "MiB", "read").compare(of, found.ratios(fromCheckpoint, fromNothing, "read"), aim{}),
	}
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(target, source); err != nil {
		_ = target.Close()
		return err
	}
	return target.Close()
}

type changeArgs struct {
	Endpoint string
	Objects  int
	From, To int // changes that were made, and that are to have been made
	Version  int
}

// change changes one object after the other, each at its own revision.
func change(ctx context.Context, args changeArgs) (struct{}, error) {
	client, err := connect(ctx, args.Endpoint)
	if err != nil {
		return struct{}{}, err
	}
	defer client.Close()
	wait := inParallel(ctx, 64, args.To-args.From, func(ctx context.Context, i int) error {
		object := (args.From + i) % args.Objects
		_, err := client.Put(ctx, deploymentKey(object), string(encodeDeployment(object, args.Version)))
		return err
	})
	return struct{}{}, wait()
}

type restartArgs struct {
	Endpoint string
	Objects  int
	Path     string // of the checkpoint; empty for none
}

// restart runs a replica until it has synced, and then stops it.
func restart(ctx context.Context, args restartArgs) (sample, error) {
	var read received
	client, err := connect(ctx, args.Endpoint, grpc.WithStatsHandler(&read))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	s, err := newStore(client)
	if err != nil {
		return nil, err
	}
	begun, spent := time.Now(), cpuTime()
	r := informer.NewReplica(s, informer.Options{Checkpoint: informer.Checkpoint{Path: args.Path, Interval: time.Hour}})
	inf, err := informer.For[*appsv1.Deployment](r)
	if err != nil {
		return nil, err
	}
	stop := background(ctx, func(ctx context.Context) { _ = r.Run(ctx) })
	err = r.WaitForSync(ctx)
	found := sample{"seconds": time.Since(begun).Seconds(), "cpu": cpuTime() - spent, "read": float64(read.bytes.Load()) / (1 << 20)}
	n := inf.Len(r.Snapshot())
	stop()
	if err != nil {
		return nil, err
	}
	return found, expect(n, args.Objects)
}

// received counts the bytes that a client's connections receive.
type received struct{ bytes atomic.Int64 }

func (*received) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (*received) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (*received) HandleConn(context.Context, stats.ConnStats)                       {}

func (r *received) HandleRPC(_ context.Context, s stats.RPCStats) {
	if in, ok := s.(*stats.InPayload); ok {
		r.bytes.Add(int64(in.WireLength))
	}
}
