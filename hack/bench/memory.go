package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// memoryScenario measures what a cached object costs: when all is settled, and
// at the peak of the cold sync. The peak is that of what is in use; with Go's
// default of a collection whenever the heap has doubled, the process takes more.
// One round is enough: bytes do not depend on what else the machine does.
func memoryScenario(ctx context.Context, b *bench) ([]Row, error) {
	peers := []string{peer + " " + pages, peer + " " + stream}
	var rows []Row
	for _, n := range b.scale.memory {
		b.logf("memory: %d objects", n)
		endpoint, stop, err := b.seededEtcd(ctx, n)
		if err != nil {
			return nil, err
		}
		found, err := interleave(ctx, 1, append([]string{ours}, peers...), func(ctx context.Context, side string, _ int) (sample, error) {
			return call[sample](ctx, b, "sync", "", syncArgs{Endpoint: endpoint, Side: side, Objects: n, Memory: true})
		})
		stop()
		if err != nil {
			return nil, err
		}
		rows = append(rows, memoryRows(n, found, peers)...)
	}
	return rows, nil
}

func memoryRows(n int, found results, peers []string) []Row {
	row := func(what, metric, of string) Row {
		return Row{Name: fmt.Sprintf("%s per cached object, %s Deployments", what, count(n)), Unit: "B", Ours: found.value(ours, metric), Peer: found.value(of, metric)}
	}
	settled, peak := found.best("settled", peers...), found.best("peak", peers...)
	rows := []Row{
		row("memory", "settled", settled).compare(oursOfPeer, found.ratios(ours, settled, "settled"), aim{atMost: 0.5}),
		row("memory at the peak", "peak", peak).compare(oursOfPeer, found.ratios(ours, peak, "peak"), aim{}),
	}
	var rise []float64
	for _, s := range found[ours] {
		rise = append(rise, s["peak"]/s["settled"])
	}
	over := row("memory at the peak", "peak", peak)
	over.Peer = nil
	return append(rows, over.compare("peak / settled", rise, aim{atMost: 1.3}))
}

// memoryOf measures what fill adds to the heap. Collections are frequent, so that
// the peak is what was in use, and not what waited for the collector.
func memoryOf(objects int, fill func() (held any, stop func(), err error)) (sample, error) {
	debug.SetGCPercent(10)
	before := settledHeap()
	peak := watchPeak()
	held, stop, err := fill()
	if err != nil {
		return nil, err
	}
	highest := peak()
	settled := settledHeap()
	runtime.KeepAlive(held)
	stop()
	n := float64(objects)
	return sample{
		"settled": float64(settled-before) / n,
		"peak":    float64(max(highest, settled)-before) / n,
	}, nil
}

// settledHeap is what is in use once nothing is left to collect.
func settledHeap() int64 {
	for range 3 {
		runtime.GC() // what has a finalizer, or lies in a pool, takes more than one
	}
	return liveHeap()
}

// liveHeap is what the last collection has found in use.
func liveHeap() int64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// watchPeak looks at the heap until the function that it returns is called,
// which returns the most that was in use.
func watchPeak() (stop func() int64) {
	var highest atomic.Int64
	end := background(context.Background(), func(ctx context.Context) {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			highest.Store(max(highest.Load(), liveHeap()))
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	return func() int64 {
		end()
		return highest.Load()
	}
}

// residentPeak is the most memory that the process has had, or 0 where the system
// does not tell, in MiB.
func residentPeak() float64 {
	kib, _ := strconv.ParseFloat(strings.TrimSuffix(fileField("/proc/self/status", "VmHWM"), " kB"), 64)
	return kib / 1024
}
