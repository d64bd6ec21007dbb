package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// cacheWritesScenario measures how many changes a second a cache applies while readers
// list it without pause. Changes come from memory, one in each watch response, and cost
// almost nothing to decode. A change counts when a handler has received it.
func cacheWritesScenario(ctx context.Context, b *bench) ([]Row, error) {
	var rows []Row
	for _, n := range b.scale.caches {
		for _, readers := range b.scale.readers {
			b.logf("cachewrites: %d objects, %d readers", n, readers)
			found, err := interleave(ctx, min(b.scale.rounds, 3), []string{ours, peer}, func(ctx context.Context, side string, _ int) (sample, error) {
				label := profileLabel(side, n)
				if label != "" {
					label += fmt.Sprintf("-%d", readers)
				}
				return call[sample](ctx, b, "cachewrite", label, cacheWriteArgs{Side: side, Objects: n, Readers: readers, Seconds: b.scale.seconds})
			})
			if err != nil {
				return nil, err
			}
			row := Row{
				Name: fmt.Sprintf("cache writes at %s objects beside %d listing readers", count(n), readers), Unit: "1/s",
				Ours: found.value(ours, "writes"), Peer: found.value(peer, "writes"),
			}
			a := aim{}
			switch readers {
			case 0:
				a.atLeast = 0.8
			case 10:
				a.atLeast = 50
			}
			rows = append(rows, row.compare(oursOfPeer, found.ratios(ours, peer, "writes"), a))
			if readers == 0 {
				row.Name, row.Unit = fmt.Sprintf("CPU time per cache write at %s objects, without readers", count(n)), "µs"
				row.Ours, row.Peer = found.value(ours, "cpu"), found.value(peer, "cpu")
				rows = append(rows, row.compare(oursOfPeer, found.ratios(ours, peer, "cpu"), aim{}))
			} else {
				row.Name, row.Unit = fmt.Sprintf("lists meanwhile, at %s objects with %d readers", count(n), readers), "1/s"
				row.Ours, row.Peer = found.value(ours, "lists"), found.value(peer, "lists")
				rows = append(rows, row.compare(oursOfPeer, found.ratios(ours, peer, "lists"), aim{}))
			}
		}
	}
	return rows, nil
}

type cacheWriteArgs struct {
	Side    string
	Objects int
	Readers int
	Seconds float64
}

// writable is a cache with a source that the benchmark writes.
type writable struct {
	write func(i int)
	list  func() int // lists all and returns how many there are
	stop  func()
}

// window is the number of changes in flight. The next ones follow when the last has
// arrived, so that no queue grows without bound.
const window = 10

func measureCacheWrites(ctx context.Context, args cacheWriteArgs) (sample, error) {
	var received atomic.Int64
	arrived := make(chan struct{}, 1)
	onArrival := func() {
		if received.Add(1)%window == 0 {
			arrived <- struct{}{}
		}
	}
	start := writableReplica
	if args.Side == peer {
		start = writableInformer
	}
	w, err := start(ctx, args.Objects, onArrival)
	if err != nil {
		return nil, err
	}
	defer w.stop()
	if err := expect(w.list(), args.Objects); err != nil {
		return nil, err
	}
	var lists atomic.Int64
	stopReaders := readAll(ctx, args.Readers, func() { w.list(); lists.Add(1) })
	defer stopReaders()
	writeWindow := func(from int) {
		for i := range window {
			w.write((from + i) * 7919 % args.Objects)
		}
		<-arrived
	}
	writeWindow(0)
	lists.Store(0)
	begun, spent, n := time.Now(), cpuTime(), 0
	for n == 0 || time.Since(begun).Seconds() < args.Seconds {
		writeWindow(n)
		n += window
	}
	seconds := time.Since(begun).Seconds()
	return sample{
		"writes": float64(n) / seconds, "lists": float64(lists.Load()) / seconds,
		"cpu": (cpuTime() - spent) / float64(n) * 1e6,
	}, nil
}

// readAll calls f in the given number of goroutines, without pause, until stop.
func readAll(ctx context.Context, readers int, f func()) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	for range readers {
		group.Go(func() {
			for ctx.Err() == nil {
				f()
			}
		})
	}
	return func() { cancel(); group.Wait() }
}

func writableReplica(ctx context.Context, objects int, onArrival func()) (*writable, error) {
	values := make([][]byte, objects)
	kvs := make([]*mvccpb.KeyValue, objects)
	for i := range objects {
		c := newCell(i)
		value, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		values[i] = value
		kvs[i] = &mvccpb.KeyValue{Key: fmt.Append(nil, cellPrefix, store.KeyOf(c)), Value: value}
	}
	f := newFeed(kvs)
	s, err := store.New(f.client(ctx), store.Options{Kinds: []store.AnyKind{store.Kind[*cell]{GroupVersionKind: cellKind}}})
	if err != nil {
		return nil, err
	}
	inf, stop, err := runReplica[*cell](ctx, s)
	if err != nil {
		return nil, err
	}
	if err := inf.Replica().WaitForSync(ctx); err != nil {
		return nil, err
	}
	inf.AddHandler(func(_ context.Context, e informer.Event[*cell]) {
		if !e.Initial {
			onArrival()
		}
	})
	return &writable{
		write: func(i int) { f.put(i, values[i]) },
		list: func() (n int) {
			for range inf.List(inf.Replica().Snapshot(), informer.ListOptions{Namespace: "default"}) {
				n++
			}
			return n
		},
		stop: stop,
	}, nil
}

func writableInformer(ctx context.Context, objects int, onArrival func()) (*writable, error) {
	list := &cellList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
	for i := range objects {
		list.Items = append(list.Items, *newCell(i))
		list.Items[i].ResourceVersion = "1"
	}
	changes := watch.NewFakeWithChanSize(watchBuffer, false)
	inf := cache.NewSharedIndexInformerWithOptions(watchedCells{&cache.ListWatch{
		ListWithContextFunc:  func(context.Context, metav1.ListOptions) (runtime.Object, error) { return list, nil },
		WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) { return changes, nil },
	}}, &cell{}, cache.SharedIndexInformerOptions{Indexers: cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}})
	_, err := inf.AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: func(_, _ any) { onArrival() }})
	if err != nil {
		return nil, err
	}
	stop := background(ctx, inf.RunWithContext)
	if err := awaitInformer(ctx, inf); err != nil {
		return nil, err
	}
	revision := 1
	return &writable{
		write: func(i int) {
			revision++
			c := newCell(i)
			c.ResourceVersion = strconv.Itoa(revision)
			changes.Modify(c)
		},
		list: func() (n int) {
			_ = cache.ListAllByNamespace(inf.GetIndexer(), "default", labels.Everything(), func(any) { n++ })
			return n
		},
		stop: stop,
	}, nil
}

// watchedCells lists first and then watches.
type watchedCells struct{ *cache.ListWatch }

func (watchedCells) IsWatchListSemanticsUnSupported() bool { return true }
