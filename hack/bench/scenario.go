package main

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// scenario measures a group of rows.
type scenario struct {
	name string
	run  func(ctx context.Context, b *bench) ([]Row, error)
}

func scenarios() []scenario {
	return []scenario{
		{"sync", syncScenario},
		{"memory", memoryScenario},
		{"latency", latencyScenario},
		{"cachewrites", cacheWritesScenario},
		{"reads", readsScenario},
		{"checkpoint", checkpointScenario},
		{"reconcile", reconcileScenario},
		{"children", childrenScenario},
		{"sharding", shardingScenario},
	}
}

// bench has the settings of all scenarios.
type bench struct {
	scale    scale
	profiles string    // the directory for CPU profiles; empty for none
	progress io.Writer // what is being measured
}

func (b *bench) logf(format string, args ...any) { fmt.Fprintf(b.progress, format+"\n", args...) }

// scale sets the sizes of the measurements.
type scale struct {
	name      string
	sync      []int // numbers of objects
	memory    []int
	caches    []int // sizes of a cache that is written and read
	readers   []int
	missed    []int // changes while a process was away, ascending
	objects   int   // of scenarios with one size
	puts      int   // per round and side
	parents   int
	workers   []int
	processes []int // that share keys, one first
	rounds    int
	seconds   float64 // per round and side, where a rate is measured
}

func scales() []scale {
	small := scale{
		name: "small", sync: []int{10_000, 100_000}, memory: []int{10_000, 100_000},
		caches: []int{10_000, 100_000}, readers: []int{0, 1, 10}, missed: []int{0, 1000, 10_000, 100_000},
		objects: 10_000, puts: 1000, parents: 300, workers: []int{1, 16, 64}, processes: []int{1, 2, 4}, rounds: 5, seconds: 1.5,
	}
	full := small
	full.name, full.sync, full.memory = "full", append(slices.Clone(small.sync), 1_000_000), append(slices.Clone(small.memory), 1_000_000)
	tiny := scale{
		name: "tiny", sync: []int{100, 200}, memory: []int{200},
		caches: []int{100}, readers: []int{0, 2}, missed: []int{0, 10, 100},
		objects: 100, puts: 20, parents: 3, workers: []int{1, 2}, processes: []int{1, 2}, rounds: 1, seconds: 0.05,
	}
	return []scale{small, full, tiny}
}
