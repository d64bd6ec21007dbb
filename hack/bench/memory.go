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

// memoryScenario measures the memory of a cached object, after the sync and at the peak
// of the cold sync. The peak is the heap in use. By default Go collects garbage when the
// heap has doubled, so the process takes more. One round is enough, because bytes do not
// depend on other load.
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

// memoryOf measures how much fill adds to the heap. It collects garbage often, so that
// the peak is the heap in use, without garbage.
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

// settledHeap returns the heap in use after garbage collection.
func settledHeap() int64 {
	for range 3 {
		runtime.GC() // what has a finalizer, or lies in a pool, takes more than one
	}
	return liveHeap()
}

// liveHeap returns the heap in use at the last collection.
func liveHeap() int64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// watchPeak observes the heap until the returned function is called, which returns the
// maximum in use.
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

// residentPeak returns the process's peak resident memory in MiB, or 0 if the system does
// not report it.
func residentPeak() float64 {
	kib, _ := strconv.ParseFloat(strings.TrimSuffix(fileField("/proc/self/status", "VmHWM"), " kB"), 64)
	return kib / 1024
}
