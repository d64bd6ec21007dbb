package controller

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr"
)

// Many add keys while others work on them: every cause is served, by a reconcile
// that begins after it, and no reconcile has none.
func TestNotesRace(t *testing.T) {
	var served, without atomic.Int64
	r := newBareRun(logr.Discard(), func(ctx context.Context, _ Request) (Result, error) {
		_, total := Causes(ctx)
		if total == 0 {
			without.Add(1)
		}
		served.Add(int64(total))
		return Result{}, nil
	})
	var workers, adders sync.WaitGroup
	for range 3 {
		workers.Go(func() { r.work(t.Context(), t.Context(), &worker{}) })
	}
	const each = 5000
	for range 3 {
		adders.Go(func() {
			for i := range each {
				typ := CauseModified
				if i%3 == 0 {
					typ = CauseInitial
				}
				r.enqueue(key("a", string(rune('a'+i%5))), Cause{Type: typ})
			}
		})
	}
	adders.Wait()
	r.queue.ShutDown()
	workers.Wait()
	r.queue.ShutDown() // may be told twice
	if served.Load() != 3*each || without.Load() != 0 {
		t.Errorf("%d of %d causes were served; %d reconciles had none", served.Load(), 3*each, without.Load())
	}
	if r.notes.of.len() != 0 || r.queue.Len() != 0 {
		t.Errorf("left: %d notes, %d keys", r.notes.of.len(), r.queue.Len())
	}
}

func TestTableGivesBack(t *testing.T) {
	var small, large table[int, int]
	for _, fill := range []struct {
		t *table[int, int]
		n int
	}{{&small, 2}, {&large, tableKept + 1}} {
		for i := range fill.n {
			fill.t.set(i, i)
		}
		if v, ok := fill.t.get(fill.n - 1); !ok || v != fill.n-1 || fill.t.len() != fill.n {
			t.Errorf("it has not what it was given: %d of %d", fill.t.len(), fill.n)
		}
		for i := range fill.n {
			fill.t.delete(i)
		}
	}
	if small.m == nil || large.m != nil {
		t.Errorf("empty, small has its map: %t, large has: %t", small.m != nil, large.m != nil)
	}
	if large.set(1, 1); large.len() != 1 {
		t.Errorf("it does not go on")
	}
}
