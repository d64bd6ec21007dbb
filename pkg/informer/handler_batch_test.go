package informer

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestDebounceDue(t *testing.T) {
	start := time.Unix(0, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	for name, c := range map[string]struct {
		debounce         Debounce
		first, last, due int
	}{
		"quiet":                 {Debounce{Quiet: 100 * time.Millisecond}, 0, 50, 150},
		"busy":                  {Debounce{Quiet: 100 * time.Millisecond}, 0, 950, 1000},
		"busy, with a maximum":  {Debounce{Quiet: 100 * time.Millisecond, Max: 300 * time.Millisecond}, 0, 290, 300},
		"a maximum below quiet": {Debounce{Quiet: 100 * time.Millisecond, Max: 30 * time.Millisecond}, 10, 10, 40},
		"a maximum alone":       {Debounce{Max: 300 * time.Millisecond}, 10, 20, 310},
		"quiet for ever":        {Debounce{Quiet: math.MaxInt64, Max: 300 * time.Millisecond}, 10, 20, 310},
		"none":                  {Debounce{}, 10, 20, 10},
	} {
		if got := c.debounce.due(at(c.first), at(c.last)); !got.Equal(at(c.due)) {
			t.Errorf("%s: due at %v, want %d ms", name, got.Sub(start), c.due)
		}
	}
}

// batchTest runs a batch handler in a bubble of its own time.
type batchTest struct {
	maps     *Informer[*corev1.ConfigMap]
	start    time.Time
	received []string
	busy     time.Duration // how long each batch takes
}

// inBubble runs f while a batch handler runs. It compares the batches with want:
// the time, the revision and the events of each.
func inBubble(t *testing.T, w Debounce, f func(b *batchTest, reg *Registration), want ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		_, maps := offline(t)
		b := &batchTest{maps: maps, start: time.Now()}
		reg := maps.AddBatchHandler(w, b.handle)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			reg.queue.run(ctx)
		}()
		f(b, reg)
		time.Sleep(time.Hour)
		cancel()
		<-done
		if !slices.Equal(b.received, want) {
			t.Errorf("received\n%s\nwant\n%s", strings.Join(b.received, "\n"), strings.Join(want, "\n"))
		}
	})
}

func (b *batchTest) handle(_ context.Context, batch Batch[*corev1.ConfigMap]) {
	line := fmt.Sprintf("%v at %d:", time.Since(b.start), batch.Revision)
	for _, e := range batch.Events {
		line += fmt.Sprintf(" %s %s %s", e.Type, e.Object.Name, e.Object.Data["values"])
	}
	b.received = append(b.received, line)
	time.Sleep(b.busy)
}

// set changes an object and lets some time pass.
func (b *batchTest) set(after time.Duration, name string, values ...string) {
	set(b.maps, "default", name, values...)
	time.Sleep(after)
}

func TestBatchWaitsForQuiet(t *testing.T) {
	inBubble(t, Debounce{Quiet: time.Second}, func(b *batchTest, _ *Registration) {
		synctest.Wait()
		b.set(900*time.Millisecond, "a", "1")
		b.set(900*time.Millisecond, "b", "1")
		b.set(1100*time.Millisecond, "a", "2")
		b.set(0, "b")
	}, "0s at 1:", "2.8s at 4: ADDED b 1 ADDED a 2", "3.9s at 5: DELETED b 1")
}

func TestBatchWaitsNoLongerThanMax(t *testing.T) {
	inBubble(t, Debounce{Quiet: time.Second, Max: 2 * time.Second}, func(b *batchTest, _ *Registration) {
		synctest.Wait()
		for i := range 5 {
			b.set(900*time.Millisecond, "a", fmt.Sprint(i))
		}
	}, "0s at 1:", "2s at 4: ADDED a 2", "4.6s at 6: MODIFIED a 4")
}

func TestBatchWithoutDebounceIsDeliveredAtOnce(t *testing.T) {
	inBubble(t, Debounce{}, func(b *batchTest, _ *Registration) {
		synctest.Wait()
		b.set(time.Second, "a", "1")
		synctest.Wait()
		b.busy = 2 * time.Second
		b.set(time.Second, "a", "2")
		b.set(500*time.Millisecond, "a", "3") // while the handler is busy
		b.set(0, "a", "4")
	}, "0s at 1:", "0s at 2: ADDED a 1", "1s at 3: MODIFIED a 2", "3s at 5: MODIFIED a 4")
}

// The wait of a change that arrives while a batch is handled begins at its
// arrival.
func TestBatchIsDueWhenTheLastWasHandled(t *testing.T) {
	inBubble(t, Debounce{Quiet: time.Second}, func(b *batchTest, _ *Registration) {
		synctest.Wait()
		b.busy = 10 * time.Second
		b.set(2*time.Second, "a", "1")
		b.set(0, "a", "2")
	}, "0s at 1:", "1s at 2: ADDED a 1", "11s at 3: MODIFIED a 2")
}

func TestEmptyBatchIsNotDelivered(t *testing.T) {
	inBubble(t, Debounce{Quiet: time.Second}, func(b *batchTest, _ *Registration) {
		synctest.Wait()
		b.set(800*time.Millisecond, "passing", "1")
		b.set(100*time.Millisecond, "passing")
		b.set(500*time.Millisecond, "a", "1") // the first change of the batch
		b.set(5*time.Second, "b", "1")
		b.set(100*time.Millisecond, "passing", "1")
		b.set(0, "passing")
	}, "0s at 1:", "2.4s at 5: ADDED a 1 ADDED b 1")
}

func TestBatchHandlerThatPanicsGetsTheNextBatch(t *testing.T) {
	inBubble(t, Debounce{Quiet: time.Second}, func(b *batchTest, reg *Registration) {
		reg.queue.mu.Lock()
		call := reg.queue.debouncer.call
		reg.queue.debouncer.call = func(ctx context.Context, changes []change, revision int64, initial bool) {
			call(ctx, changes, revision, initial)
			panic("not today")
		}
		reg.queue.mu.Unlock()
		b.set(2*time.Second, "a", "1")
		b.set(0, "a", "2")
	}, "0s at 1:", "1s at 2: ADDED a 1", "3s at 3: MODIFIED a 2")
}

func TestRemovedBatchHandlerIsNotCalled(t *testing.T) {
	inBubble(t, Debounce{Quiet: time.Second}, func(b *batchTest, reg *Registration) {
		synctest.Wait()
		b.set(500*time.Millisecond, "a", "1")
		if n := reg.Backlog(); n != 1 {
			t.Errorf("%d changes wait", n)
		}
		reg.Remove()
		b.set(0, "a", "2")
		if n := reg.Backlog(); n != 0 {
			t.Errorf("%d changes wait for nobody", n)
		}
	}, "0s at 1:")
}

// Collected changes are kept while the replica does not run, and bounded by the
// number of objects.
func TestBatchIsKeptBetweenRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, maps := offline(t)
		b := &batchTest{maps: maps, start: time.Now()}
		reg := maps.AddBatchHandler(Debounce{Quiet: time.Second}, b.handle)
		run := func(d time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			reg.queue.run(ctx)
		}
		run(time.Millisecond)
		for i := range 10_000 {
			set(maps, "default", fmt.Sprint("cm-", i%10), fmt.Sprint(i))
		}
		if n, places := reg.Backlog(), len(reg.queue.backlog.queue); n != 10 || places > 20 {
			t.Errorf("%d changes wait in %d places", n, places)
		}
		run(500 * time.Millisecond)
		time.Sleep(time.Hour)
		run(time.Millisecond)
		if len(b.received) != 2 || !strings.HasPrefix(b.received[1], "1h0m0.501s at 10001: ADDED cm-0 9990 ADDED cm-1 9991") {
			t.Errorf("received\n%s", strings.Join(b.received, "\n"))
		}
	})
}
