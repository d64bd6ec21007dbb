package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/homeostat/homeostat/pkg/controller"
)

const (
	// outside is the time a reconcile waits for an outside service.
	outside = 5 * time.Millisecond
	// shardWorkers is the number of workers in a process.
	shardWorkers = 4
)

// shardingScenario compares the rate of several processes that share a controller's keys
// with the rate of one process. The reconciles wait for an outside service.
func shardingScenario(ctx context.Context, b *bench) ([]Row, error) {
	endpoint, stop, err := b.seededEtcd(ctx, b.scale.parents)
	if err != nil {
		return nil, err
	}
	defer stop()
	var sides []string
	for _, n := range b.scale.processes {
		sides = append(sides, fmt.Sprint(n))
	}
	b.logf("sharding: %v processes", b.scale.processes)
	found, err := interleave(ctx, b.scale.rounds, sides, func(ctx context.Context, side string, round int) (sample, error) {
		var n int
		if _, err := fmt.Sscan(side, &n); err != nil {
			return nil, err
		}
		return b.share(ctx, shardArgs{Endpoint: endpoint, Processes: n, Name: fmt.Sprintf("bench-%s-%d", side, round), Seconds: b.scale.seconds})
	})
	if err != nil {
		return nil, err
	}
	var rows []Row
	for i, n := range b.scale.processes[1:] {
		row := Row{
			Name: fmt.Sprintf("reconciles that wait 5 ms, %d sharded processes of %d workers each", n, shardWorkers), Unit: "1/s",
			Ours: found.value(sides[i+1], "rate"), Raw: found.value(sides[0], "rate"),
		}
		linear := found.ratios(sides[i+1], sides[0], "rate")
		for j := range linear {
			linear[j] /= float64(n)
		}
		rows = append(rows, row.compare(fmt.Sprintf("%d processes / %d x one", n, n), linear, aim{atLeast: 0.9}))
	}
	return rows, nil
}

// share runs processes that share the keys, and returns the sum of their rates.
func (b *bench) share(ctx context.Context, args shardArgs) (sample, error) {
	rates := make([]float64, args.Processes)
	group, ctx := errgroup.WithContext(ctx)
	for i := range rates {
		group.Go(func() error {
			found, err := call[sample](ctx, b, "shard", "", args)
			rates[i] = found["rate"]
			return err
		})
	}
	err := group.Wait()
	sum := 0.0
	for _, r := range rates {
		sum += r
	}
	return sample{"rate": sum}, err
}

type shardArgs struct {
	Endpoint  string
	Name      string // of the sharding, unlike any before
	Processes int    // that take part
	Seconds   float64
}

// measureShard runs in each process. It measures once all processes have joined and the
// keys are distributed. Then it keeps running for the same time, so that it outlasts the
// others' measurements.
func measureShard(ctx context.Context, args shardArgs) (sample, error) {
	client, err := connect(ctx, args.Endpoint)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	s, err := newStore(client)
	if err != nil {
		return nil, err
	}
	m, err := controller.NewManager(s, controller.ManagerOptions{Sharding: &controller.Sharding{Name: args.Name}})
	if err != nil {
		return nil, err
	}
	var done atomic.Int64
	wait := func(context.Context, *controller.Tx, *appsv1.Deployment) (controller.Result, error) {
		time.Sleep(outside)
		done.Add(1)
		return controller.Result{RequeueAfter: time.Nanosecond}, nil
	}
	if _, err := controller.New(m, "bench", wait, controller.Options{Workers: shardWorkers}); err != nil {
		return nil, err
	}
	stop := background(ctx, func(ctx context.Context) { _ = m.Run(ctx) })
	defer stop()
	for !sharedOut(m.Sharding(), args.Processes) {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
	window := time.Duration(args.Seconds * float64(time.Second))
	begun, before := time.Now(), done.Load()
	if err := pause(ctx, window); err != nil {
		return nil, err
	}
	rate := float64(done.Load()-before) / time.Since(begun).Seconds()
	return sample{"rate": rate}, pause(ctx, window)
}

// sharedOut reports whether all processes have joined and this one has about its share.
func sharedOut(st controller.ShardingStatus, processes int) bool {
	return len(st.Members) == processes && st.Waiting == 0 && st.Draining == 0 &&
		2*st.Owned*processes > st.Buckets && st.Owned*processes < 2*st.Buckets
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
