package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// reconciler is the side of latencyScenario with a controller.
const reconciler = "reconciler"

// latencyScenario measures the time from just before a put until a receiver gets the
// change. Raw is a watch of etcd's client alone, which decodes nothing.
func latencyScenario(ctx context.Context, b *bench) ([]Row, error) {
	endpoint, stop, err := b.seededEtcd(ctx, b.scale.objects)
	if err != nil {
		return nil, err
	}
	defer stop()
	var rows []Row
	for _, load := range []struct {
		name          string
		writers, puts int
	}{{"idle", 1, b.scale.puts}, {"64 writers", 64, b.scale.objects}} {
		b.logf("latency: %s", load.name)
		found, err := interleave(ctx, b.scale.rounds, []string{raw, ours, peer, reconciler}, func(ctx context.Context, side string, round int) (sample, error) {
			label := ""
			if side == ours || side == reconciler {
				label = fmt.Sprintf("%s-%d", side, load.writers)
			}
			return call[sample](ctx, b, "latency", label, latencyArgs{
				Endpoint: endpoint, Side: side, Objects: b.scale.objects, Writers: load.writers, Puts: load.puts, Version: round + 1,
			})
		})
		if err != nil {
			return nil, err
		}
		for _, p := range []string{"p50", "p99"} {
			row := Row{Name: fmt.Sprintf("put to handler, %s, %s", load.name, p), Unit: "µs", Ours: found.value(ours, p), Peer: found.value(peer, p), Raw: found.value(raw, p)}
			rows = append(rows, row.compare(oursOfRaw, found.ratios(ours, raw, p), aim{atMost: 1.15}))
			row.Raw = nil
			rows = append(rows, row.compare(peerOfOurs, found.ratios(peer, ours, p), aim{}))
			row.Name, row.Ours, row.Peer, row.Raw = fmt.Sprintf("put to Reconcile, %s, %s", load.name, p), found.value(reconciler, p), nil, found.value(raw, p)
			rows = append(rows, row.compare(oursOfRaw, found.ratios(reconciler, raw, p), aim{atMost: 1.2}))
		}
	}
	return rows, nil
}

type latencyArgs struct {
	Endpoint string
	Side     string
	Objects  int // that are there
	Writers  int
	Puts     int // of all writers together; at most one an object, so that none is superseded
	Version  int // tells the values of one call from those of another
}

func measureLatency(ctx context.Context, args latencyArgs) (sample, error) {
	client, err := connect(ctx, args.Endpoint)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	arrivals := &arrivals{at: make(map[int64]time.Time, args.Puts), arrived: make(chan struct{}, 1)}
	stop, err := receive(ctx, client, args, arrivals)
	if err != nil {
		return nil, err
	}
	defer stop()
	values := make([]string, args.Objects)
	for i := range values {
		values[i] = string(encodeDeployment(i, args.Version))
	}
	warmup := max(1, args.Puts/10)
	if _, err := putAll(ctx, client, args.Writers, values[:min(warmup, args.Objects)], warmup, arrivals); err != nil {
		return nil, err
	}
	runtime.GC()
	latencies, err := putAll(ctx, client, args.Writers, values, args.Puts, arrivals)
	if err != nil {
		return nil, err
	}
	return sample{"p50": percentile(latencies, 0.5), "p99": percentile(latencies, 0.99)}, nil
}

// arrivals records when a receiver gets each revision.
type arrivals struct {
	mu      sync.Mutex
	at      map[int64]time.Time
	arrived chan struct{} // has an element when there is something new
}

func (a *arrivals) note(revision int64) {
	now := time.Now()
	a.mu.Lock()
	if _, ok := a.at[revision]; !ok {
		a.at[revision] = now
	}
	a.mu.Unlock()
	select {
	case a.arrived <- struct{}{}:
	default:
	}
}

func (a *arrivals) of(revision int64) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.at[revision]
	return at, ok
}

// await waits until the receiver has got a revision.
func (a *arrivals) await(ctx context.Context, revision int64) (time.Time, error) {
	for {
		if at, ok := a.of(revision); ok {
			return at, nil
		}
		select {
		case <-a.arrived:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("no handler received revision %d: %w", revision, context.Cause(ctx))
		}
	}
}

// putAll puts values, one after the other for each writer, and returns how long each took
// to arrive, in microseconds. A single writer waits for each arrival.
func putAll(ctx context.Context, client *clientv3.Client, writers int, values []string, puts int, arrivals *arrivals) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	begun := make([]map[int64]time.Time, writers)
	errs := make([]error, writers)
	var group sync.WaitGroup
	for w := range writers {
		begun[w] = map[int64]time.Time{}
		group.Go(func() {
			for n := w; n < puts && errs[w] == nil; n += writers {
				i := n % len(values)
				start := time.Now()
				resp, err := client.Put(ctx, deploymentKey(i), values[i])
				if err == nil {
					begun[w][resp.Header.Revision] = start
					if writers == 1 {
						_, err = arrivals.await(ctx, resp.Header.Revision)
					}
				}
				errs[w] = err
			}
		})
	}
	group.Wait()
	var latencies []float64
	for w := range writers {
		if errs[w] != nil {
			return nil, errs[w]
		}
		for revision, start := range begun[w] {
			at, err := arrivals.await(ctx, revision)
			if err != nil {
				return nil, err
			}
			latencies = append(latencies, float64(at.Sub(start).Nanoseconds())/1000)
		}
	}
	return latencies, nil
}

// receive starts a side that records arrivals, and returns when it has synced.
func receive(ctx context.Context, client *clientv3.Client, args latencyArgs, arrivals *arrivals) (stop func(), err error) {
	switch args.Side {
	case raw:
		return receiveRaw(ctx, client, arrivals)
	case ours:
		inf, stop, err := startReplica(ctx, client)
		if err != nil {
			return nil, err
		}
		inf.AddHandler(func(_ context.Context, e informer.Event[*appsv1.Deployment]) { arrivals.note(e.Revision) })
		return stop, inf.Replica().WaitForSync(ctx)
	case peer:
		inf, stop, err := startInformer(ctx, client, stream)
		if err != nil {
			return nil, err
		}
		note := func(obj any) { arrivals.note(revisionOf(obj.(*appsv1.Deployment))) }
		if _, err := inf.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: note, UpdateFunc: func(_, obj any) { note(obj) }}); err != nil {
			return nil, err
		}
		return stop, awaitInformer(ctx, inf)
	default:
		return receiveReconciles(ctx, client, args, arrivals)
	}
}

func receiveRaw(ctx context.Context, client *clientv3.Client, arrivals *arrivals) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	responses := client.Watch(ctx, deploymentPrefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	created := <-responses
	done := make(chan struct{})
	go func() {
		defer close(done)
		for resp := range responses {
			for _, ev := range resp.Events {
				arrivals.note(ev.Kv.ModRevision)
			}
		}
	}()
	return func() { cancel(); <-done }, created.Err()
}

// receiveReconciles records, in each reconcile, the revision of the object. It returns
// when the reconciles of the initial list are done.
func receiveReconciles(ctx context.Context, client *clientv3.Client, args latencyArgs, arrivals *arrivals) (stop func(), err error) {
	s, err := newStore(client)
	if err != nil {
		return nil, err
	}
	m, err := controller.NewManager(s, controller.ManagerOptions{})
	if err != nil {
		return nil, err
	}
	inf, err := informer.For[*appsv1.Deployment](m.Replica())
	if err != nil {
		return nil, err
	}
	initial := make(chan struct{}, args.Objects)
	reconcile := controller.ReconcilerFunc[controller.Request](func(_ context.Context, req controller.Request) (controller.Result, error) {
		if d, ok := inf.Get(m.Replica().Snapshot(), req.Key); ok {
			arrivals.note(revisionOf(d))
		}
		select {
		case initial <- struct{}{}:
		default:
		}
		return controller.Result{}, nil
	})
	if _, err := controller.NewFor[*appsv1.Deployment](m, "latency", reconcile, controller.Options{Workers: min(args.Writers, 16)}); err != nil {
		return nil, err
	}
	stop = background(ctx, func(ctx context.Context) { _ = m.Run(ctx) })
	for range args.Objects {
		<-initial
	}
	return stop, nil
}

func revisionOf(obj store.Object) int64 {
	revision, _ := store.ParseRevision(obj.GetResourceVersion()) // it is one that was formatted
	return revision
}
