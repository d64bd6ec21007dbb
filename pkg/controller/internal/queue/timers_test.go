package queue

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

type dueKey struct {
	key string
	at  time.Duration
}

func TestRequeueTimers(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(testQueue)
		want []dueKey
	}{
		"queue keys when they are due": {func(q testQueue) {
			q.RequeueAfter("b", 2*time.Second, 0)
			q.RequeueAfter("a", time.Second, 0)
		}, []dueKey{{"a", time.Second}, {"b", 2 * time.Second}}},
		"a later time replaces an earlier": {func(q testQueue) {
			q.RequeueAfter("a", time.Second, 0)
			q.RequeueAfter("a", time.Hour, 0)
		}, []dueKey{{"a", time.Hour}}},
		"an earlier time replaces a later": {func(q testQueue) {
			q.RequeueAfter("a", time.Hour, 0)
			q.RequeueAfter("a", time.Second, 0)
		}, []dueKey{{"a", time.Second}}},
		"the longest time is never reached": {func(q testQueue) {
			q.RequeueAfter("a", math.MaxInt64, 0)
			q.Finish("b", Result[int]{After: math.MaxInt64})
			q.RequeueAfter("c", time.Hour, 0)
		}, []dueKey{{"c", time.Hour}}},
		"no pause queues a key at once, and clears its time": {func(q testQueue) {
			q.RequeueAfter("a", time.Second, 0)
			q.RequeueAfter("a", 0, 0)
		}, []dueKey{{"a", 0}}},
		"success clears the time": {func(q testQueue) {
			q.RequeueAfter("a", time.Second, 0)
			q.Finish("a", Result[int]{})
		}, nil},
		"a result replaces the time": {func(q testQueue) {
			q.RequeueAfter("a", time.Second, 0)
			q.Finish("a", Result[int]{After: time.Hour})
		}, []dueKey{{"a", time.Hour}}},
		"a backoff replaces the time, and doubles": {func(q testQueue) {
			q.RequeueAfter("a", time.Hour, 0)
			q.Finish("a", Result[int]{Err: errors.New("no"), Backoff: true})
			time.Sleep(1500 * time.Millisecond)
			q.Finish("a", Result[int]{Err: errors.New("no"), Backoff: true})
		}, []dueKey{{"a", time.Second}, {"a", 3500 * time.Millisecond}}},
		"a failure for good clears the time": {func(q testQueue) {
			q.RequeueAfter("a", time.Second, 0)
			q.Finish("a", Result[int]{Err: errors.New("no")})
		}, nil},
		"a key that became somebody else's has no backoff": {func(q testQueue) {
			q.Finish("a", Result[int]{Err: errors.New("no"), Backoff: true})
			q.Forget("a")
		}, nil},
		"a key can come back again": {func(q testQueue) {
			q.RequeueAfter("a", time.Second, 0)
			time.Sleep(2 * time.Second)
			q.RequeueAfter("a", time.Second, 0)
		}, []dueKey{{"a", time.Second}, {"a", 3 * time.Second}}},
		"more keys than fire at once": {func(q testQueue) {
			for i := range firedAtOnce {
				q.RequeueAfter(fmt.Sprint("x", i), time.Second, 0)
			}
			q.RequeueAfter("a", time.Second, 0)
		}, []dueKey{{"a", time.Second}}},
		"nothing comes after the shutdown": {func(q testQueue) {
			q.RequeueAfter("a", time.Second, 0)
			q.ShutDown()
			q.RequeueAfter("b", time.Second, 0)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, begin := newTestQueue(clock.RealClock{}), time.Now()
				q.run(t)
				var got []dueKey
				var worker sync.WaitGroup
				worker.Go(func() {
					for key, ok := q.Get(); ok; key, ok = q.Get() {
						if key[0] != 'x' {
							got = append(got, dueKey{key, time.Since(begin)})
						}
						if _, err := q.Begin(t.Context(), key); err != nil {
							t.Error(err)
						}
						q.Done(key)
					}
				})
				test.do(q)
				time.Sleep(2 * time.Hour)
				q.ShutDown()
				worker.Wait()
				if !reflect.DeepEqual(got, test.want) {
					t.Errorf("got %v, want %v", got, test.want)
				}
			})
		})
	}
}

// FakeClock holds its lock while it calls a function given to AfterFunc. The queue must
// not depend on that.
func TestRequeueWithFakeClock(t *testing.T) {
	c := newFakeClock()
	q := newTestQueue(c)
	q.run(t)
	for i := range 100 {
		q.RequeueAfter("a/1", time.Hour, i)
		q.RequeueAfter("b/1", 2*time.Hour, i)
		if next := q.KeyState("a/1").Next; !next.Equal(c.Now().Add(time.Hour)) {
			t.Fatalf("round %d: a/1 comes back at %v", i, next)
		}
		for _, want := range []string{"a/1", "b/1"} {
			c.Step(time.Hour)
			key, causes := q.next(t)
			if key != want || fmt.Sprint(causes.List()) != fmt.Sprint([]int{i}) {
				t.Fatalf("round %d: got %s because of %v, want %s", i, key, causes.List(), want)
			}
			q.Finish(key, Result[int]{})
			q.Done(key)
		}
	}
}

// Several goroutines set timers again just when they are due, while the queue is shut
// down.
func TestRequeueTimersRace(t *testing.T) {
	q := newTestQueue(clock.RealClock{})
	q.run(t)
	var setters, worker sync.WaitGroup
	worker.Go(func() {
		for key, ok := q.Get(); ok; key, ok = q.Get() {
			if _, err := q.Begin(t.Context(), key); err != nil {
				t.Error(err)
			}
			q.Done(key)
		}
	})
	for _, key := range []string{"a", "b", "c", "d"} {
		setters.Go(func() {
			for i := range 2000 {
				q.RequeueAfter(key, time.Duration(i%3)*time.Microsecond, 0)
			}
		})
	}
	setters.Go(func() {
		time.Sleep(time.Millisecond)
		q.ShutDown()
	})
	setters.Wait()
	worker.Wait()
}

// A reconcile that writes that it failed must not be brought back by that write, whether
// its change comes before the reconcile has ended or after.
func TestOwnChangesDoNotEndABackoff(t *testing.T) {
	write := func(revision int64, keys ...string) Write {
		return Write{revision, slices.Concat(keys, []string{"k0"})}
	}
	failed := func(wrote ...Write) Result[int] {
		return Result[int]{Err: errors.New("no"), Backoff: true, Wrote: wrote}
	}
	many := func(first, keys int) (causes []int) {
		for i := range keys {
			causes = append(causes, first+i*keyed)
		}
		return causes
	}
	var manyKeys []string
	for i := range 30 {
		manyKeys = append(manyKeys, fmt.Sprint("k", i))
	}
	for name, test := range map[string]struct {
		during, after []int
		end           Result[int]
		want          bool // the key is queued at once
	}{
		"an own change during the reconcile":                                      {during: []int{change + 7}, end: failed(write(7))},
		"an own change after it":                                                  {after: []int{change + 7}, end: failed(write(7))},
		"own changes of two writes":                                               {after: []int{change + 7, change + 9}, end: failed(write(7), write(9))},
		"another's change during it":                                              {during: []int{change + 8}, end: failed(write(7)), want: true},
		"another's change after it":                                               {after: []int{change + 8}, end: failed(write(7)), want: true},
		"another's change beside an own":                                          {during: []int{change + 7, change + 8}, end: failed(write(7)), want: true},
		"another's change of another key at the revision of an own, during it":    {during: []int{change + 7 + keyed}, end: failed(write(7)), want: true},
		"another's change of another key at the revision of an own, after it":     {after: []int{change + 7 + keyed}, end: failed(write(7)), want: true},
		"another's change of another key beside an own one, at the same revision": {during: []int{change + 7, change + 7 + keyed}, end: failed(write(7)), want: true},
		"own changes of two keys at one revision":                                 {during: []int{change + 7, change + 7 + keyed}, end: failed(write(7, "k1"))},
		"own changes of many keys at one revision":                                {during: many(change+7, 30), end: failed(write(7, manyKeys...))},
		"another's change among many own ones at one revision":                    {during: many(change+7, 30), end: failed(write(7, manyKeys[:15]...), write(7, manyKeys[16:]...)), want: true},
		"no change, but a request":                                                {during: []int{5}, end: failed(write(7)), want: true},
		"an own change after a failure that is for good":                          {after: []int{change + 7}, end: Result[int]{Err: errors.New("no"), Wrote: []Write{write(7)}}},
		"an own change after a success":                                           {after: []int{change + 7}, end: Result[int]{Wrote: []Write{write(7)}}, want: true},
		"nothing written":                                                         {after: []int{change + 7}, end: failed(), want: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newTestQueue(clock.RealClock{})
				q.run(t)
				q.Add("a", 1, High)
				q.next(t)
				for _, cause := range test.during {
					q.Add("a", cause, High)
				}
				q.Finish("a", test.end)
				q.Done("a")
				for _, cause := range test.after {
					q.Add("a", cause, High)
				}
				synctest.Wait()
				queued := false
				for q.State().Queued > 0 || q.work.Len() > 0 {
					key, causes := q.next(t)
					queued = queued || causes != nil
					q.Done(key)
				}
				if queued != test.want {
					t.Errorf("queued: %v, want %v", queued, test.want)
				}
				if !test.want && test.end.Backoff {
					time.Sleep(2 * time.Second)
					if key, causes := q.next(t); key != "a" || causes == nil {
						t.Error("the key does not come back after its backoff")
					}
					q.Done("a")
				}
			})
		})
	}
}
