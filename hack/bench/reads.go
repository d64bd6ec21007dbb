package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// appLabel is the indexed label.
const appLabel = "app.kubernetes.io/name"

// readsScenario measures reads of a cache without writes. Callers of client-go, such as
// controller-runtime's client, copy the objects that they get.
func readsScenario(ctx context.Context, b *bench) ([]Row, error) {
	n := b.scale.objects
	b.logf("reads: %d objects", n)
	found, err := interleave(ctx, min(b.scale.rounds, 3), []string{ours, peer}, func(ctx context.Context, side string, _ int) (sample, error) {
		return call[sample](ctx, b, "read", profileLabel(side, n), readArgs{Side: side, Objects: n, Seconds: b.scale.seconds / 5})
	})
	if err != nil {
		return nil, err
	}
	at := fmt.Sprintf(" of %s Deployments", count(n))
	row := func(name, unit, metric, of string) Row {
		return Row{Name: name, Unit: unit, Ours: found.value(ours, metric), Peer: found.value(peer, of)}
	}
	ratios := func(metric, of string) []float64 {
		var ratios []float64
		for i := range found[ours] {
			ratios = append(ratios, found[peer][i][of]/found[ours][i][metric])
		}
		return ratios
	}
	allocations := row("Get"+at+", allocations", "1/op", "get allocs", "get allocs")
	allocations = allocations.compare("ours", []float64{*allocations.Ours}, aim{})
	allocations.Aim, allocations.Met = "0", new(*allocations.Ours == 0)
	return []Row{
		row("Get"+at, "ns", "get", "get").compare(peerOfOurs, ratios("get", "get"), aim{}),
		allocations,
		row("List"+at+", per object, client-go with deep copies", "ns", "list", "list copied").compare(peerOfOurs, ratios("list", "list copied"), aim{atLeast: 20}),
		row("List"+at+", per object, client-go without", "ns", "list", "list").compare(peerOfOurs, ratios("list", "list"), aim{}),
		row("ByIndex"+at+", per object, client-go with deep copies", "ns", "index", "index copied").compare(peerOfOurs, ratios("index", "index copied"), aim{}),
		row("ByIndex"+at+", per object, client-go without", "ns", "index", "index").compare(peerOfOurs, ratios("index", "index"), aim{}),
	}, nil
}

type readArgs struct {
	Side    string
	Objects int
	Seconds float64 // per metric
}

// reads has the measured reads of a cache. Each function returns the number of objects
// that it has read.
type reads map[string]func(i int) int

func measureReads(ctx context.Context, args readArgs) (sample, error) {
	kvs := make([]*mvccpb.KeyValue, args.Objects)
	for i := range kvs {
		kvs[i] = &mvccpb.KeyValue{Key: []byte(deploymentKey(i)), Value: encodeDeployment(i, 0)}
	}
	f := newFeed(kvs)
	open := replicaReads
	if args.Side == peer {
		open = indexerReads
	}
	all, stop, err := open(ctx, f)
	if err != nil {
		return nil, err
	}
	defer stop()
	s := sample{}
	for name, read := range all {
		ns, allocs, err := perObject(args.Seconds, read)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s[name], s[name+" allocs"] = ns, allocs
	}
	return s, nil
}

// perObject calls read for some time. For each object it returns the nanoseconds of CPU
// time, including the garbage collector's, and the allocations.
func perObject(seconds float64, read func(i int) int) (ns, allocs float64, err error) {
	if read(0) == 0 {
		return 0, 0, fmt.Errorf("nothing was read")
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	spent, objects := cpuTime(), 0
	for i := 0; cpuTime()-spent < seconds; {
		for enough := objects + 1000; objects < enough; i++ { // the clock costs time, too
			objects += read(i)
		}
	}
	spent = cpuTime() - spent
	runtime.ReadMemStats(&after)
	// The measurement itself and the collector's goroutines allocate less than a
	// hundredth of an object.
	allocs = float64(int64(100*float64(after.Mallocs-before.Mallocs)/float64(objects))) / 100
	return spent * 1e9 / float64(objects), allocs, nil
}

func appOf(d *appsv1.Deployment) []string { return []string{d.Labels[appLabel]} }

func replicaReads(ctx context.Context, f *feed) (reads, func(), error) {
	inf, stop, err := startReplica(ctx, f.client(ctx))
	if err != nil {
		return nil, nil, err
	}
	byApp := inf.AddIndex(appOf)
	if err := inf.Replica().WaitForSync(ctx); err != nil {
		return nil, nil, err
	}
	snapshot := func() *informer.Snapshot { return inf.Replica().Snapshot() }
	objects := slices.Collect(inf.List(snapshot(), informer.ListOptions{}))
	keys, apps := keysOf(objects), appsOf(objects)
	return reads{
		"get": func(i int) int {
			if _, ok := inf.Get(snapshot(), keys[i*7919%len(keys)]); ok {
				return 1
			}
			return 0
		},
		"list": func(int) (n int) {
			for range inf.List(snapshot(), informer.ListOptions{}) {
				n++
			}
			return n
		},
		"index": func(i int) (n int) {
			for range byApp.Lookup(snapshot(), apps[i*7919%len(apps)]) {
				n++
			}
			return n
		},
	}, stop, nil
}

// indexerReads reads the indexer behind a shared informer.
func indexerReads(_ context.Context, f *feed) (reads, func(), error) {
	lw, err := newListerWatcher(nil, whole)
	if err != nil {
		return nil, nil, err
	}
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{
		cache.NamespaceIndex: cache.MetaNamespaceIndexFunc,
		"app":                func(obj any) ([]string, error) { return appOf(obj.(*appsv1.Deployment)), nil },
	})
	objects := make([]*appsv1.Deployment, len(f.kvs))
	for i, kv := range f.kvs {
		objects[i] = &appsv1.Deployment{}
		if err := lw.decode(kv, objects[i]); err != nil {
			return nil, nil, err
		}
		if err := indexer.Add(objects[i]); err != nil {
			return nil, nil, err
		}
	}
	names, apps := keysOf(objects), appsOf(objects)
	byApp := func(i int) []any {
		found, _ := indexer.ByIndex("app", apps[i*7919%len(apps)]) // the index is there
		return found
	}
	return reads{
		"get": func(i int) int {
			key := names[i*7919%len(names)]
			if _, ok, _ := indexer.GetByKey(key.Namespace + "/" + key.Name); ok { // as a lister does
				return 1
			}
			return 0
		},
		"list":         func(int) int { return len(indexer.List()) },
		"list copied":  func(int) int { return len(copied(indexer.List())) },
		"index":        func(i int) int { return len(byApp(i)) },
		"index copied": func(i int) int { return len(copied(byApp(i))) },
	}, func() {}, nil
}

func copied(objects []any) []*appsv1.Deployment {
	copies := make([]*appsv1.Deployment, len(objects))
	for i, obj := range objects {
		copies[i] = obj.(*appsv1.Deployment).DeepCopy()
	}
	return copies
}

func keysOf(objects []*appsv1.Deployment) []store.Key {
	keys := make([]store.Key, len(objects))
	for i, d := range objects {
		keys[i] = store.KeyOf(d)
	}
	return keys
}

func appsOf(objects []*appsv1.Deployment) []string {
	apps := make([]string, len(objects))
	for i, d := range objects {
		apps[i] = d.Labels[appLabel]
	}
	return apps
}
