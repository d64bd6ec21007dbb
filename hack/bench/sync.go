package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// syncScenario measures the time from an empty cache to a complete copy. Raw is etcd's
// client alone, which reads the same values without decoding them.
func syncScenario(ctx context.Context, b *bench) ([]Row, error) {
	peers := []string{peer + " " + pages, peer + " " + whole, peer + " " + stream}
	var rows []Row
	perObject := map[int]results{}
	for _, n := range b.scale.sync {
		rounds := b.scale.rounds
		if n >= 1_000_000 {
			rounds = min(rounds, 3)
		}
		found, err := b.syncAt(ctx, n, rounds, append([]string{raw, ours}, peers...))
		if err != nil {
			return nil, err
		}
		perObject[n] = found
		row := Row{Name: fmt.Sprintf("cold sync of %s Deployments", count(n)), Unit: "s", Ours: found.value(ours, "seconds"), Raw: found.value(raw, "seconds")}
		rows = append(rows, row.compare(oursOfRaw, found.ratios(ours, raw, "seconds"), aim{atMost: 2}))
		row.Raw = nil
		fastest := found.best("seconds", peers...)
		for _, p := range peers {
			row, a := row, aim{}
			row.Peer = found.value(p, "seconds")
			row.Name += ", client-go with " + strings.TrimPrefix(p, peer+" ")
			if p == fastest {
				row.Name, a = row.Name+" (its best)", aim{atLeast: 5}
			}
			rows = append(rows, row.compare(peerOfOurs, found.ratios(p, ours, "seconds"), a))
		}
		cpu := Row{Name: fmt.Sprintf("CPU time of the process for a cold sync of %s", count(n)), Unit: "s", Ours: found.value(ours, "cpu"), Raw: found.value(raw, "cpu")}
		rows = append(rows, cpu.compare(oursOfRaw, found.ratios(ours, raw, "cpu"), aim{}))
		cpu.Peer, cpu.Raw = found.value(fastest, "cpu"), nil
		rows = append(rows, cpu.compare(peerOfOurs, found.ratios(fastest, ours, "cpu"), aim{}))
		rows = append(rows, Row{
			Name: fmt.Sprintf("resident memory of the process at the peak of a cold sync of %s", count(n)), Unit: "MiB",
			Ours: found.value(ours, "resident"), Peer: found.value(fastest, "resident"), Raw: found.value(raw, "resident"),
		}.compare(oursOfPeer, found.ratios(ours, fastest, "resident"), aim{}))
	}
	return append(rows, linearity(b.scale.sync, perObject)...), nil
}

// linearity compares the CPU time for each object at one size with that at the previous
// size.
func linearity(sizes []int, found map[int]results) []Row {
	perObject := func(n int) float64 { return *found[n].value(ours, "cpu") / float64(n) * 1e6 }
	var rows []Row
	for i, n := range sizes[1:] {
		row := Row{Name: fmt.Sprintf("cold sync, CPU time per object at %s against %s", count(n), count(sizes[i])), Unit: "µs", Ours: new(perObject(n))}
		rows = append(rows, row.compare("more / fewer", []float64{perObject(n) / perObject(sizes[i])}, aim{atMost: 1.25}))
	}
	return rows
}

func (b *bench) syncAt(ctx context.Context, n, rounds int, sides []string) (results, error) {
	b.logf("sync: %d objects", n)
	endpoint, stop, err := b.seededEtcd(ctx, n)
	if err != nil {
		return nil, err
	}
	defer stop()
	return interleave(ctx, rounds, sides, func(ctx context.Context, side string, round int) (sample, error) {
		return call[sample](ctx, b, "sync", profileLabel(side, n), syncArgs{Endpoint: endpoint, Side: side, Objects: n})
	})
}

// profileLabel returns the name of the profile of a measurement.
func profileLabel(side string, n int) string {
	if side != ours {
		return ""
	}
	return fmt.Sprint(n)
}

type syncArgs struct {
	Endpoint string
	Side     string
	Objects  int
	Memory   bool // measure memory instead of time
}

func measureSync(ctx context.Context, args syncArgs) (sample, error) {
	client, err := connect(ctx, args.Endpoint)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if args.Memory {
		return memoryOf(args.Objects, func() (held any, stop func(), err error) { return coldSync(ctx, client, args) })
	}
	begun, before := time.Now(), cpuTime()
	_, stop, err := coldSync(ctx, client, args)
	if err != nil {
		return nil, err
	}
	seconds, cpu := time.Since(begun).Seconds(), cpuTime()-before
	stop()
	return sample{"seconds": seconds, "cpu": cpu, "resident": residentPeak()}, nil
}

// coldSync copies all Deployments into a cache and returns the cache.
func coldSync(ctx context.Context, client *clientv3.Client, args syncArgs) (held any, stop func(), err error) {
	switch setting, isPeer := strings.CutPrefix(args.Side, peer+" "); {
	case isPeer:
		inf, stop, err := startInformer(ctx, client, setting)
		if err != nil {
			return nil, nil, err
		}
		if err := awaitInformer(ctx, inf); err != nil {
			return nil, nil, err
		}
		return inf, stop, expect(len(inf.GetStore().ListKeys()), args.Objects)
	case args.Side == ours:
		inf, stop, err := startReplica(ctx, client)
		if err != nil {
			return nil, nil, err
		}
		if err := inf.Replica().WaitForSync(ctx); err != nil {
			return nil, nil, err
		}
		return inf, stop, expect(inf.Len(inf.Replica().Snapshot()), args.Objects)
	default:
		n, err := rawRead(ctx, client)
		if err != nil {
			return nil, nil, err
		}
		return nil, func() {}, expect(n, args.Objects)
	}
}

// rawRead reads all Deployments with etcd's client alone.
func rawRead(ctx context.Context, client *clientv3.Client) (n int, err error) {
	chunks, err := client.GetStream(ctx, deploymentPrefix, clientv3.WithPrefix())
	if err != nil {
		return 0, err
	}
	for chunk := range chunks {
		if e := chunk.Err(); e != nil {
			err = e
			continue // the client's goroutine ends when the channel is drained
		}
		n += len(chunk.Kvs)
	}
	return n, err
}

func expect(got, want int) error {
	if got != want {
		return fmt.Errorf("%d objects, want %d", got, want)
	}
	return nil
}

// count formats a number with k or M.
func count(n int) string {
	switch {
	case n >= 1_000_000 && n%1_000_000 == 0:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n >= 1000 && n%1000 == 0:
		return fmt.Sprintf("%dk", n/1000)
	}
	return fmt.Sprint(n)
}
