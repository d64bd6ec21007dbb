package queue

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

// testQueue is a queue of keys such as "a/1", with the tenant "a". Causes are numbers;
// the cause of a release is minus the revision.
type testQueue struct {
	*Queue[string, int]
	replica *fakeReplica
}

func newTestQueue(c clock.WithTickerAndDelayedExecution) testQueue {
	replica := &fakeReplica{}
	return testQueue{replica: replica, Queue: New(Config[string, int]{
		Clock:           c,
		Tenant:          func(key string) string { tenant, _, _ := strings.Cut(key, "/"); return tenant },
		RateLimiter:     workqueue.NewTypedItemExponentialFailureRateLimiter[string](time.Second, time.Minute),
		Revision:        replica.current,
		AfterRevision:   replica.after,
		CurrentRevision: replica.ask,
		Released: func(revision int64) int {
			replica.released.Add(1)
			return -int(revision)
		},
		RevisionOf: changeRevision,
		KeyOf:      changedKey,
		Added:      func() {},
	})}
}

// change is the first cause that is a change; it is one at revision 0.
const change = 1_000_000

func changeRevision(cause int) int64 { return int64(max(0, cause-change)) % keyed }

// keyed, times the number of a key, is added to changes of other keys than the first.
const keyed = 1000

func changedKey(cause int) string { return fmt.Sprint("k", max(0, cause-change)/keyed) }

func newFakeClock() *clocktesting.FakeClock {
	return clocktesting.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
}

// run runs the queue until the end of the test, which fails if it leaves anything.
func (q testQueue) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); q.Run(ctx) }()
	t.Cleanup(func() {
		q.ShutDown()
		cancel()
		<-ended
		if len(q.timers) > 0 || q.gates.len > 0 || q.held != 0 || q.backoffs != 0 {
			t.Errorf("left after the shutdown: %d timers, %d gates", len(q.timers), q.gates.len)
		}
	})
}

// next takes the next key and begins with it. Done has not been called.
func (q testQueue) next(t *testing.T) (string, *Causes[int]) {
	t.Helper()
	key, ok := q.Get()
	if !ok {
		t.Fatal("the queue is shut down")
	}
	causes, err := q.Begin(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return key, causes
}

// drain takes all queued keys.
func (q testQueue) drain(t *testing.T) (keys []string) {
	t.Helper()
	for q.State().Queued > 0 {
		key, _ := q.next(t)
		keys = append(keys, key)
		q.Done(key)
	}
	return keys
}

// fakeReplica stands at a revision, and etcd at another.
type fakeReplica struct {
	released atomic.Int64 // how often a key may have been released
	silent   bool         // etcd never answers

	mu       sync.Mutex
	revision int64
	etcd     int64
	err      error // that etcd answers with
	waiting  map[*func()]int64
}

func (r *fakeReplica) current() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.revision
}

func (r *fakeReplica) ask(ctx context.Context) (int64, error) {
	if r.silent {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.etcd, r.err
}

func (r *fakeReplica) after(revision int64, f func()) (stop func() bool) {
	r.mu.Lock()
	if r.revision >= revision {
		r.mu.Unlock()
		f()
		return func() bool { return false }
	}
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = map[*func()]int64{}
	}
	r.waiting[&f] = revision
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		_, ok := r.waiting[&f]
		delete(r.waiting, &f)
		return ok
	}
}

func (r *fakeReplica) reach(revision int64) {
	r.mu.Lock()
	r.revision, r.etcd = revision, max(r.etcd, revision)
	var due []func()
	for f, wants := range r.waiting {
		if wants <= revision {
			due = append(due, *f)
			delete(r.waiting, f)
		}
	}
	r.mu.Unlock()
	for _, f := range due {
		f()
	}
}
