package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestKeyWaitsForItsWrites(t *testing.T) {
	c := newFakeClock()
	q := newTestQueue(c)
	q.run(t)
	q.replica.reach(5)
	q.Add("a", 1, High)
	key, _ := q.next(t)
	q.Wrote(key, 5, false) // is there already
	q.Wrote(key, 7, false)
	q.Wrote(key, 6, false) // does not lower it
	q.Done(key)
	q.Add("a", 2, High)
	if _, causes := q.next(t); causes != nil {
		t.Fatalf("it is reconciled before its writes are there, because of %v", causes.List())
	}
	q.Done("a")
	if s, n := q.KeyState("a"), q.State(); s.Phase != WaitingForRevision || s.Revision != 7 || n.WaitingForRevision != 1 || n.Queued != 0 {
		t.Fatalf("got %+v and %+v", s, n)
	}
	q.replica.reach(6)
	if n := q.State(); n.Queued != 0 {
		t.Fatal("it was released early")
	}
	q.replica.reach(7)
	if _, causes := q.next(t); fmt.Sprint(causes.List()) != "[2 -7]" || causes.Priority != High {
		t.Fatalf("got %v", causes)
	}
	q.Done("a")
	if q.records.len() != 0 {
		t.Errorf("left: %+v", q.KeyStates(1))
	}
}

// Time stands still for the question to etcd when it does for the queue.
func TestQuestionToASilentEtcd(t *testing.T) {
	c := newFakeClock()
	q := newTestQueue(c)
	q.replica.silent = true
	q.Add("a", 1, Low)
	key, _ := q.next(t)
	q.Wrote(key, 0, true)
	q.Done(key)
	q.Add("a", 2, Low)
	key, _ = q.Get()
	failed := make(chan error, 1)
	go func() {
		_, err := q.Begin(t.Context(), key)
		failed <- err
	}()
	for !c.HasWaiters() {
		time.Sleep(time.Millisecond)
	}
	c.Step(askTimeout)
	if err := <-failed; !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	q.Done(key)
	q.ShutDown()
}

// A write whose outcome is unknown is as late as etcd's revision when the key comes
// up next. Without an answer the key keeps its causes.
func TestUnknownOutcome(t *testing.T) {
	q := newTestQueue(newFakeClock())
	q.run(t)
	q.Add("a", 1, Low)
	key, _ := q.next(t)
	q.Wrote(key, 0, true)
	q.Done(key)
	q.replica.etcd, q.replica.err = 9, errors.New("etcd is away")
	q.Add("a", 2, Low)
	key, _ = q.Get()
	if _, err := q.Begin(t.Context(), key); !errors.Is(err, q.replica.err) {
		t.Fatalf("got %v", err)
	} else if n := q.Finish(key, Result[int]{Err: err, Backoff: true, Cause: 3, Priority: Low}); n != 1 {
		t.Fatalf("got %d failures", n)
	}
	q.Done(key)
	if s := q.KeyState("a"); s.Phase != InBackoff || !s.UnknownOutcome || s.Causes.Total != 1 || s.LastError == "" || s.Next.IsZero() {
		t.Fatalf("got %+v", s)
	}
	q.replica.err = nil
	q.Add("a", 4, Low)
	if _, causes := q.next(t); causes != nil {
		t.Fatal("it was reconciled")
	}
	q.Done("a")
	if s := q.KeyState("a"); s.Phase != WaitingForRevision || s.UnknownOutcome || s.Revision != 9 {
		t.Fatalf("got %+v", s)
	}
	q.replica.reach(9)
	if _, causes := q.next(t); fmt.Sprint(causes.List()) != "[2 4 -9]" {
		t.Fatalf("got %v", causes.List())
	}
	q.Done("a")
}

// A revision that etcd has lost never comes: two reviews open the gate.
func TestReviewOpensGatesOfLostRevisions(t *testing.T) {
	q := newTestQueue(newFakeClock())
	for _, key := range []string{"lost", "coming"} {
		q.Add(key, 1, High)
		q.next(t)
	}
	q.Wrote("lost", 100, false)
	q.Wrote("coming", 3, false)
	for _, key := range []string{"lost", "coming"} {
		q.Done(key)
		q.Add(key, 2, High)
		q.next(t)
		q.Done(key)
	}
	q.replica.etcd = 4
	q.review(t.Context())
	if n := q.State(); n.Queued != 0 {
		t.Fatal("the first review opened a gate")
	}
	q.replica.err = errors.New("etcd is away")
	q.review(t.Context())
	if n := q.State(); n.Queued != 0 {
		t.Fatal("a review without etcd's answer opened a gate")
	}
	q.replica.err = nil
	q.review(t.Context())
	if key, _ := q.next(t); key != "lost" || q.State().WaitingForRevision != 1 {
		t.Fatalf("got %s", key)
	}
	q.ShutDown()
	if len(q.replica.waiting) != 0 {
		t.Errorf("%d subscriptions are left", len(q.replica.waiting))
	}
}

// Some goroutines add keys, others reconcile them, and revisions arrive. Each cause is
// returned once, by a reconcile that begins after it and sees the key's writes.
func TestRace(t *testing.T) {
	q := newTestQueue(newFakeClock())
	q.run(t)
	const each, keys = 5000, 5
	var served [3 * each]atomic.Int32
	var total atomic.Int64
	var wrote [keys]atomic.Int64 // written before a key's Done
	var working [keys]atomic.Bool
	var workers, adders sync.WaitGroup
	for range 3 {
		workers.Go(func() {
			for key, ok := q.Get(); ok; key, ok = q.Get() {
				k := int(key[0] - 'a')
				if working[k].Swap(true) {
					t.Error("two workers have a key")
				}
				causes, err := q.Begin(t.Context(), key)
				if err != nil {
					t.Error(err)
				}
				if causes != nil {
					if q.replica.current() < wrote[k].Load() {
						t.Error("a key does not see its own writes")
					}
					total.Add(int64(causes.Total))
					for _, c := range causes.List() {
						if c < 0 {
							total.Add(-1) // a release is no cause of the test's
						} else {
							served[c].Add(1)
						}
					}
					wrote[k].Store(q.replica.current() + 1)
					q.Wrote(key, wrote[k].Load(), false)
					q.Finish(key, Result[int]{})
				}
				working[k].Store(false)
				q.Done(key)
			}
		})
	}
	stop := make(chan struct{})
	var etcd sync.WaitGroup
	etcd.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				q.replica.reach(q.replica.current() + 1)
				time.Sleep(10 * time.Microsecond)
			}
		}
	})
	for a := range 3 {
		adders.Go(func() {
			for i := range each {
				q.Add(string(rune('a'+i%keys)), a*each+i, Priority(i&1))
			}
		})
	}
	adders.Wait()
	for s := q.State(); s.Queued+s.WaitingForRevision+s.Reconciling > 0 || q.pendingLen() > 0; s = q.State() {
		time.Sleep(time.Millisecond)
	}
	q.ShutDown()
	workers.Wait()
	close(stop)
	etcd.Wait()
	if n := total.Load(); n < 3*each || n > 3*each+q.replica.released.Load() {
		t.Errorf("%d of %d causes were returned, and %d were releases", n, 3*each, q.replica.released.Load())
	}
	for i := range served {
		if served[i].Load() > 1 {
			t.Fatalf("cause %d was returned %d times", i, served[i].Load())
		}
	}
}

func (q testQueue) pendingLen() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pending.len
}

// A reconcile that could not begin has left the causes of its key. Nobody who sets a
// time for the key may make them wait longer.
func TestRequeueDoesNotPostponeCauses(t *testing.T) {
	for name, test := range map[string]struct {
		pause, comes time.Duration
	}{
		"a later time":    {time.Hour, time.Second},
		"an earlier time": {time.Second / 2, time.Second / 2},
		"no pause":        {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := newFakeClock()
			q := newTestQueue(c)
			q.refuse(t, "a")
			q.RequeueAfter("a", test.pause, 7)
			q.RequeueAfter("a", max(test.pause, time.Minute), 8) // after another
			q.replica.err = nil
			if test.comes > 0 {
				c.Step(test.comes - 1)
				q.fire()
				if n := q.State().Queued; n != 0 {
					t.Fatalf("%d keys are queued too early", n)
				}
				c.Step(1)
				q.fire()
			}
			if n := q.State().Queued; n != 1 {
				t.Fatalf("%d keys are queued: %+v", n, q.KeyState("a"))
			}
			if _, causes := q.next(t); causes.List()[0] != 2 {
				t.Fatalf("got causes %v", causes.List())
			}
			q.Finish("a", Result[int]{})
			q.Done("a")
		})
	}
}

// A key that another process owns leaves nothing behind.
func TestForgetLeavesNothing(t *testing.T) {
	q := newTestQueue(newFakeClock())
	q.Add("a", 1, Low)
	key, _ := q.next(t)
	q.Finish(key, Result[int]{Err: errors.New("no"), Backoff: true})
	q.RequeueAfter(key, 0, 2)
	q.Done(key)
	key, _ = q.next(t)
	q.Wrote(key, 0, true)
	q.Forget(key)
	q.Done(key)
	if s := q.KeyState(key); s.Phase != Idle || s.Failures != 0 || s.UnknownOutcome || q.records.len() != 0 {
		t.Errorf("got %+v, %d records", s, q.records.len())
	}
	if n := q.config.RateLimiter.NumRequeues(key); n != 0 {
		t.Errorf("%d failures are remembered", n)
	}
}

// refuse makes a reconcile of a key fail to begin, and the key come back after a
// second. Its cause is 2.
func (q testQueue) refuse(t *testing.T, key string) {
	t.Helper()
	q.Add(key, 1, Low)
	q.next(t)
	q.Wrote(key, 0, true)
	q.Finish(key, Result[int]{})
	q.Done(key)
	q.replica.err = errors.New("etcd is away")
	q.Add(key, 2, Low)
	q.Get()
	if _, err := q.Begin(t.Context(), key); !errors.Is(err, q.replica.err) {
		t.Fatalf("got %v", err)
	}
	q.Finish(key, Result[int]{Err: q.replica.err, Backoff: true, Cause: 3, Priority: Low})
	q.Done(key)
}
