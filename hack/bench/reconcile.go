package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// The kinds of reconciles in reconcileScenario.
const (
	writesStatus = "writes the status"
	writesSame   = "writes the status as it is"
	readsOnly    = "writes nothing"
)

// reconcileScenario measures reconciles per second. Each object is reconciled once. Raw
// is compare-and-set puts of values encoded in advance, with as many writers as workers.
func reconcileScenario(ctx context.Context, b *bench) ([]Row, error) {
	endpoint, stop, err := b.seededEtcd(ctx, b.scale.objects)
	if err != nil {
		return nil, err
	}
	defer stop()
	var rows []Row
	version := 0
	for _, workers := range b.scale.workers {
		b.logf("reconcile: %d workers", workers)
		found, err := interleave(ctx, b.scale.rounds, []string{raw, writesStatus, writesSame, readsOnly}, func(ctx context.Context, side string, _ int) (sample, error) {
			version++
			label := ""
			if side == writesStatus {
				label = fmt.Sprint(workers)
			}
			return call[sample](ctx, b, "reconcile", label, reconcileArgs{
				Endpoint: endpoint, Side: side, Objects: b.scale.objects, Workers: workers, Version: version, Seconds: b.scale.seconds,
			})
		})
		if err != nil {
			return nil, err
		}
		for _, side := range []string{writesStatus, writesSame, readsOnly} {
			a := aim{}
			if side == writesStatus {
				a.atLeast = 0.85
			}
			row := Row{
				Name: fmt.Sprintf("reconcile that %s, %d workers", side, workers), Unit: "1/s",
				Ours: found.value(side, "rate"), Raw: found.value(raw, "rate"),
			}
			rows = append(rows, row.compare(oursOfRaw, found.ratios(side, raw, "rate"), a))
			row.Name, row.Unit = fmt.Sprintf("CPU time of the process per reconcile that %s, %d workers", side, workers), "µs"
			row.Ours, row.Raw = found.value(side, "cpu"), found.value(raw, "cpu")
			rows = append(rows, row.compare(oursOfRaw, found.ratios(side, raw, "cpu"), aim{}))
		}
	}
	return rows, nil
}

type reconcileArgs struct {
	Endpoint string
	Side     string
	Objects  int
	Workers  int
	Version  int     // what is written, unlike anything before
	Seconds  float64 // at most
}

func measureReconciles(ctx context.Context, args reconcileArgs) (sample, error) {
	client, err := connect(ctx, args.Endpoint)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if args.Side == raw {
		return rawUpdates(ctx, client, args)
	}
	return reconciles(ctx, client, args)
}

// progress counts finished work, from the first start until everything is done or time is
// up.
type progress struct {
	all   int64
	time  time.Duration
	begin sync.Once
	begun time.Time
	spent float64 // CPU time before that
	done  atomic.Int64
	ended chan struct{} // closed when all is done
}

func newProgress(all int, seconds float64) *progress {
	return &progress{all: int64(all), time: time.Duration(seconds * float64(time.Second)), ended: make(chan struct{})}
}

func (p *progress) start() { p.begin.Do(func() { p.begun, p.spent = time.Now(), cpuTime() }) }

func (p *progress) finish() {
	if p.done.Add(1) == p.all {
		close(p.ended)
	}
}

// rate waits for the end and returns the rate.
func (p *progress) rate(ctx context.Context) (sample, error) {
	select {
	case <-p.ended:
	case <-time.After(p.time):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	done := min(p.done.Load(), p.all)
	if done == 0 {
		return nil, errors.New("nothing was done")
	}
	return sample{
		"rate": float64(done) / time.Since(p.begun).Seconds(),
		"cpu":  (cpuTime() - p.spent) / float64(done) * 1e6,
	}, nil
}

// reconciles runs a controller and counts its reconciles when their transactions commit.
func reconciles(ctx context.Context, client *clientv3.Client, args reconcileArgs) (sample, error) {
	s, err := newStore(client)
	if err != nil {
		return nil, err
	}
	m, err := controller.NewManager(s, controller.ManagerOptions{})
	if err != nil {
		return nil, err
	}
	p := newProgress(args.Objects, args.Seconds)
	fresh, all := queued(args.Objects)
	reconcile := func(ctx context.Context, tx *controller.Tx, d *appsv1.Deployment) (controller.Result, error) {
		<-all
		p.start()
		switch args.Side {
		case writesStatus:
			d.Status.ObservedGeneration = int64(1 + args.Version)
			tx.UpdateStatus(d)
		case writesSame:
			tx.UpdateStatus(d)
		}
		err := tx.Commit(ctx)
		p.finish()
		return controller.Result{}, err
	}
	_, err = controller.New(m, "bench", reconcile, controller.Options{Workers: args.Workers}, controller.For(informer.Or[*appsv1.Deployment]()), fresh)
	if err != nil {
		return nil, err
	}
	stop := background(ctx, func(ctx context.Context) { _ = m.Run(ctx) })
	defer stop()
	select {
	case <-all:
	case <-ctx.Done():
	}
	return p.rate(ctx)
}

// queued returns a source of the objects that exist at the start, and a channel that
// is closed once it has named all of them: reconciles that wait for it are measured
// without the filling of their queue. It does not name objects that the reconciles
// change.
func queued(objects int) (fresh controller.Source[controller.Request], all <-chan struct{}) {
	passed, done := 0, make(chan struct{})
	return controller.WatchesEvents(func(_ context.Context, e informer.Event[*appsv1.Deployment]) []controller.Request {
		if passed++; passed == objects { // events come one at a time
			close(done)
		}
		return []controller.Request{{Key: store.KeyOf(e.Object)}}
	}, informer.Operations[*appsv1.Deployment](informer.Create)), done
}

// rawUpdates measures the minimal cost of a status write.
func rawUpdates(ctx context.Context, client *clientv3.Client, args reconcileArgs) (sample, error) {
	resp, err := client.Get(ctx, deploymentPrefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, err
	}
	values := make([]string, len(resp.Kvs))
	for i := range values {
		values[i] = string(encodeDeployment(i, args.Version))
	}
	p := newProgress(len(values), args.Seconds)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.start()
	stop := inParallel(ctx, args.Workers, len(values), func(ctx context.Context, i int) error {
		key := string(resp.Kvs[i].Key)
		if err := compareAndSet(ctx, client, key, resp.Kvs[i].ModRevision, values[i]); err != nil {
			return err
		}
		p.finish()
		return nil
	})
	found, err := p.rate(ctx)
	cancel()
	return found, errors.Join(err, stop())
}

// inParallel calls f for each number below n, so many at once, until an error or
// the end of ctx. stop waits for the end of all and returns the first error that
// is not of ctx's end.
func inParallel(ctx context.Context, workers, n int, f func(ctx context.Context, i int) error) (stop func() error) {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil && failed.Load() == nil; i = int(next.Add(1)) - 1 {
				if err := f(ctx, i); err != nil && ctx.Err() == nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	return func() error {
		group.Wait()
		if err := failed.Load(); err != nil {
			return *err
		}
		return nil
	}
}
