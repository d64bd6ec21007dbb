package controller

import (
	"context"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// newBareRun returns a run of a controller without etcd. Only turn takes keys from
// its queue.
func newBareRun(log logr.Logger, reconcile ReconcilerFunc[Request]) *run[Request] {
	m := &Manager{options: ManagerOptions{Clock: clock.RealClock{}, Log: log}, replica: informer.NewReplica(nil, informer.Options{})}
	m.metrics = newMetrics(m)
	return newController(m, "c", reconcile, Options{}, forKind{}).newRun()
}

// turn does what a worker does with one key.
func turn(ctx context.Context, r *run[Request]) { r.processNextItem(ctx, ctx) }

func key(namespace, name string) Request {
	return Request{store.Key{Namespace: namespace, Name: name}}
}

// The allocations of a controller itself must not grow unnoticed.
func TestAllocations(t *testing.T) {
	nothing := func(context.Context, Request) (Result, error) { return Result{}, nil }
	logged := funcr.New(func(string, string) {}, funcr.Options{})
	modified := Cause{Type: CauseModified, Kind: "Site", Object: key("a", "1").Key, Revision: 57}
	for name, test := range map[string]struct {
		log  logr.Logger
		most float64
		do   func(r *run[Request])
	}{
		"a change of a key that is queued already": {logr.Discard(), 0, func(r *run[Request]) {
			r.enqueue(key("a", "queued"), modified)
		}},
		"a change, and a reconcile that does and logs nothing": {logr.Discard(), 10, func(r *run[Request]) {
			r.enqueue(key("a", "1"), modified)
			turn(t.Context(), r)
		}},
		"the same with a log that gets no line": {logged, 14, func(r *run[Request]) {
			r.enqueue(key("a", "1"), modified)
			turn(t.Context(), r)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newBareRun(test.log, nothing)
			for range 8 { // as many causes as a key keeps
				test.do(r)
			}
			if got := testing.AllocsPerRun(1000, func() { test.do(r) }); got > test.most {
				t.Errorf("%.1f allocations, at most %.0f", got, test.most)
			} else {
				t.Logf("%.1f allocations", got)
			}
		})
	}
}

// BenchmarkTurn measures the time that a controller itself adds to a reconcile: from
// the change to the end of a reconcile that does nothing.
func BenchmarkTurn(b *testing.B) {
	r := newBareRun(logr.Discard(), func(context.Context, Request) (Result, error) { return Result{}, nil })
	modified := Cause{Type: CauseModified, Kind: "Site", Object: key("a", "1").Key, Revision: 57}
	b.ReportAllocs()
	for b.Loop() {
		r.enqueue(key("a", "1"), modified)
		turn(b.Context(), r)
	}
}
