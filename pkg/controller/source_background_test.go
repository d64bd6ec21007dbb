package controller

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/store"
)

// due records which keys were enqueued, and when.
type due struct {
	mu    sync.Mutex
	begin time.Time
	keys  []dueKey
}

type dueKey struct {
	key string
	at  time.Duration
}

func (d *due) enqueue(key string, _ Cause) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys = append(d.keys, dueKey{key, time.Since(d.begin)})
}

func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		plain, err := store.New(clientv3.NewCtxClient(t.Context()), store.Options{Scheme: scheme.Scheme})
		if err != nil {
			t.Fatal(err)
		}
		b := &binding[string]{
			manager: &Manager{options: ManagerOptions{Clock: clock.RealClock{}}, store: plain},
			log:     funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{}),
		}
		begin, rounds, recorded := time.Now(), 0, &due{begin: time.Now()}
		start, err := Every(time.Minute, func(context.Context) []string {
			if rounds++; rounds == 2 {
				panic("oh no")
			}
			time.Sleep(time.Second) // of the bubble's clock, as all here
			return []string{"a", "b"}
		}).bind(b)
		if err != nil {
			t.Fatal(err)
		}
		stop := start(recorded.enqueue)
		time.Sleep(10 * time.Minute)
		stop()
		ended := rounds
		time.Sleep(10 * time.Minute)
		if rounds != ended || time.Since(begin) != 20*time.Minute {
			t.Errorf("it went on after its stop")
		}
		if rounds != 10 && rounds != 9 || len(lines) != 1 || !strings.Contains(lines[0], "oh no") {
			t.Errorf("in ten minutes: %d rounds, log: %v", rounds, lines)
		}
		checkRounds(t, recorded.keys, rounds)
	})
}

// The longest interval has no end, and does not overflow.
func TestLongIntervals(t *testing.T) {
	for _, interval := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1, math.MaxInt64 / 11 * 10, 250 * 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			b := &binding[string]{manager: &Manager{options: ManagerOptions{Clock: clock.RealClock{}}}}
			rounds := 0
			start, err := Every(interval, func(context.Context) []string { rounds++; return nil }).bind(b)
			if err != nil {
				t.Fatal(err)
			}
			stop := start(func(string, Cause) {})
			time.Sleep(time.Hour)
			stop()
			if rounds != 1 {
				t.Errorf("%v: %d rounds in an hour", interval, rounds)
			}
		})
	}
}

func TestLongBackoff(t *testing.T) {
	const century = 100 * 365 * 24 * time.Hour
	for o, want := range map[Options]time.Duration{
		{BackoffBase: math.MaxInt64}:                            5 * time.Minute,
		{BackoffBase: math.MaxInt64, BackoffMax: math.MaxInt64}: century,
		{BackoffBase: 1 << 62, BackoffMax: 1<<63 - 1}:           century,
	} {
		limiter := newRateLimiter[string](o.withDefaults())
		for range 10 {
			if pause := limiter.When("a"); pause != want {
				t.Errorf("%+v: a pause of %v, want %v", o, pause, want)
			}
		}
	}
}

// checkRounds checks that each round but the second, which panicked, named both
// keys, and when.
func checkRounds(t *testing.T, keys []dueKey, rounds int) {
	t.Helper()
	if len(keys) != 2*(rounds-1) {
		t.Fatalf("%d keys of %d rounds: %v", len(keys), rounds, keys)
	}
	earliest, latest := time.Second, time.Second
	var pauses []time.Duration
	for i := 0; i < len(keys); i += 2 {
		if keys[i].key != "a" || keys[i+1].key != "b" || keys[i].at < earliest || keys[i].at > latest {
			t.Errorf("round %d: %v, not between %v and %v", i/2, keys[i:i+2], earliest, latest)
		}
		at := keys[i].at
		earliest, latest = at+61*time.Second, at+67*time.Second
		if i == 0 { // then comes the one that panicked, at once
			earliest, latest = at+121*time.Second, at+133*time.Second
		} else {
			pauses = append(pauses, at)
		}
	}
	slices.Sort(pauses)
	if len(slices.Compact(pauses)) != rounds-2 {
		t.Errorf("rounds at the same time: %v", pauses)
	}
}
