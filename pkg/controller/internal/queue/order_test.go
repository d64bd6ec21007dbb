package queue

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
)

// add adds a key as these tests write it: "a/1" with high priority, "a/1-" with
// low.
func (q testQueue) add(s string) {
	if key, low := strings.CutSuffix(s, "-"); low {
		q.Add(key, 0, Low)
		return
	}
	q.Add(s, 0, High)
}

func TestOrder(t *testing.T) {
	for name, test := range map[string]struct{ add, want string }{
		"keys of one tenant leave as they came":                   {"a/1 a/2 a/3", "a/1 a/2 a/3"},
		"a key keeps its place when it is added again":            {"a/1 a/2 a/1", "a/1 a/2"},
		"high priority goes first":                                {"a/1- a/2- a/3 a/4", "a/3 a/4 a/1 a/2"},
		"a key whose priority rises goes behind others of it":     {"a/1- a/2- a/3 a/2", "a/3 a/2 a/1"},
		"the priority of a queued key does not fall":              {"a/1- a/2 a/2-", "a/2 a/1"},
		"tenants take turns":                                      {"a/1 a/2 a/3 b/1 c/1 c/2", "a/1 b/1 c/1 a/2 c/2 a/3"},
		"tenants take turns within the low priority, too":         {"a/1- a/2- a/3- b/1-", "a/1 b/1 a/2 a/3"},
		"the eighth is the oldest":                                {"a/0- a/1 a/2 a/3 a/4 a/5 a/6 a/7 a/8 a/9", "a/1 a/2 a/3 a/4 a/5 a/6 a/7 a/0 a/8 a/9"},
		"a key whose priority rises keeps its age":                {"a/0- b/0- a/1 a/2 a/3 a/4 a/5 a/6 a/7 a/8 a/9 a/0", "a/1 a/2 a/3 a/4 a/5 a/6 a/7 a/0 a/8 a/9 b/0"},
		"the tenant that is named by the empty string is one too": {"/1 /2 b/1", "/1 b/1 /2"},
	} {
		t.Run(name, func(t *testing.T) {
			q := newTestQueue(newFakeClock())
			for _, s := range strings.Fields(test.add) {
				q.add(s)
			}
			if got := strings.Join(q.drain(t), " "); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if q.records.len() != 0 {
				t.Errorf("%d records are left", q.records.len())
			}
		})
	}
}

// However many changes arrive, the keys that exist at the start make progress: one key
// in eight is the oldest.
func TestOrderStarvesNothing(t *testing.T) {
	const old = 100
	q := newTestQueue(newFakeClock())
	for i := range old {
		q.add(fmt.Sprintf("old/%d-", i))
	}
	for pops := range agingInterval * old {
		q.add(fmt.Sprint("new/", pops)) // two come for each that goes
		q.add(fmt.Sprint("newer/", pops))
		got, _ := q.next(t)
		q.Done(got)
		want := fmt.Sprint("old/", pops/agingInterval)
		if (pops+1)%agingInterval == 0 && got != want {
			t.Fatalf("pop %d: got %v, want %v", pops+1, got, want)
		}
		if (pops+1)%agingInterval != 0 && strings.HasPrefix(got, "old/") {
			t.Fatalf("pop %d: got %v before a change", pops+1, got)
		}
	}
}

// A tenant with very many keys delays that of another by two keys at most.
func TestOrderIsFair(t *testing.T) {
	for _, p := range []Priority{High, Low} {
		for queued := range 2 * agingInterval {
			q := newTestQueue(newFakeClock())
			for i := range 1000 {
				q.Add(fmt.Sprint("many/", i), 0, p)
			}
			for range queued {
				q.Get()
			}
			q.Add("one/key", 0, p)
			var got []string
			for range 3 {
				key, _ := q.Get()
				got = append(got, key)
			}
			if !slices.Contains(got, "one/key") {
				t.Errorf("priority %d: it did not come after %d: %v", p, queued, got)
			}
		}
	}
}

// BenchmarkQueue compares the queue with client-go's alone: a key is added and one
// taken, with a number of keys waiting.
func BenchmarkQueue(b *testing.B) {
	for _, waiting := range []int{1, 1000, 100_000} {
		keys := make([]string, waiting+1)
		for i := range keys {
			keys[i] = fmt.Sprintf("%d/%d", i%100, i)
		}
		b.Run(fmt.Sprintf("client-go/waiting=%d", waiting), func(b *testing.B) {
			q := workqueue.NewTyped[string]()
			for _, k := range keys[:waiting] {
				q.Add(k)
			}
			next := keys[waiting]
			b.ReportAllocs()
			for b.Loop() {
				q.Add(next)
				next, _ = q.Get()
				q.Done(next)
			}
		})
		b.Run(fmt.Sprintf("queue/waiting=%d", waiting), func(b *testing.B) {
			q := newTestQueue(clock.RealClock{})
			for _, k := range keys[:waiting] {
				q.Add(k, 0, High)
			}
			next := keys[waiting]
			b.ReportAllocs()
			for b.Loop() {
				q.Add(next, 0, Priority(len(next)&1))
				next, _ = q.Get()
				_, _ = q.Begin(b.Context(), next)
				q.Finish(next, Result[int]{})
				q.Done(next)
			}
		})
	}
}
