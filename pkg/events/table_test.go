package events

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

var epoch = time.Unix(1_800_000_000, 0)

func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

// seen returns an occurrence that differs for each name.
func seen(name string, seconds int) occurrence {
	key := seriesKey{eventType: "Normal", reason: "Test", action: "Test"}
	key.regarding = corev1.ObjectReference{Kind: "Site", Namespace: "default", Name: name}
	return occurrence{what: key, at: at(seconds)}
}

// expectBatch takes all Events that are ready at a time and compares them.
func expectBatch(t *testing.T, tb *table, seconds int, want ...string) []write {
	t.Helper()
	batch, _ := tb.nextBatch(at(seconds), 100)
	var got []string
	for _, w := range batch {
		got = append(got, fmt.Sprintf("%s*%d", w.series.key.regarding.Name, w.count))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("at %d s: nextBatch returned %v, want %v", seconds, got, want)
	}
	return batch
}

func TestTableWritesAtOnceThenCoolsDown(t *testing.T) {
	tb := newTable(10, 25)
	for i, want := range []bool{true, false} {
		if news, _ := tb.observe(seen("a", 0)); news != want {
			t.Fatalf("occurrence %d: news is %v, want %v", i, news, want)
		}
	}
	tb.done(at(1), expectBatch(t, tb, 1, "a*2"))
	tb.observe(seen("a", 2))
	tb.observe(seen("b", 3))
	tb.done(at(3), expectBatch(t, tb, 3, "b*1"))
	if _, idle := tb.nextBatch(at(4), 1); idle != 7*time.Second {
		t.Fatalf("the next look is due in %s, want 7s", idle)
	}
	tb.done(at(11), expectBatch(t, tb, 11, "a*3"))
	expectBatch(t, tb, 20)
	if tb.observe(seen("b", 20)); tb.cooling.Len() != 1 || tb.ready.Len() != 1 {
		t.Fatal("a series that has cooled down is not written at once")
	}
}

func TestTableCountsWhileItWrites(t *testing.T) {
	tb := newTable(10, 25)
	tb.observe(seen("a", 0))
	batch := expectBatch(t, tb, 0, "a*1")
	if news, cause := tb.observe(seen("a", 0)); news || cause != dropNone {
		t.Fatalf("got news %v, cause %d", news, cause)
	}
	expectBatch(t, tb, 0)
	tb.done(at(1), batch)
	expectBatch(t, tb, 10)
	tb.failed(expectBatch(t, tb, 11, "a*2"))
	expectBatch(t, tb, 11, "a*2")
}

func TestTableMakesRoom(t *testing.T) {
	tb := newTable(2, 25)
	for i, name := range []string{"a", "b"} {
		tb.observe(seen(name, i))
		tb.done(at(i), expectBatch(t, tb, i, name+"*1"))
	}
	steps := []struct {
		name    string
		seconds int
		want    dropCause
	}{
		{"c", 2, dropFull},  // both cool down
		{"a", 2, dropNone},  // and has something to write from now on
		{"c", 10, dropFull}, // a is ready, b cools down
		{"c", 11, dropNone}, // takes the place of b
		{"d", 11, dropFull},
	}
	for _, s := range steps {
		if _, cause := tb.observe(seen(s.name, s.seconds)); cause != s.want {
			t.Fatalf("%s at %d s: got %q, want %q", s.name, s.seconds, cause, s.want)
		}
	}
	expectBatch(t, tb, 11, "a*2", "c*1")
}

func TestTableEndsIdleSeries(t *testing.T) {
	tb := newTable(10, 25)
	tb.observe(seen("a", 0))
	tb.done(at(0), expectBatch(t, tb, 0, "a*1"))
	tb.observe(seen("a", 359))
	tb.done(at(359), expectBatch(t, tb, 359, "a*2"))
	tb.observe(seen("a", 359+360))
	tb.failed(expectBatch(t, tb, 719, "a*1"))
	tb.observe(seen("a", 719+1000)) // it could not be written, so it goes on
	expectBatch(t, tb, 1719, "a*2")
}

func TestTableGivesUp(t *testing.T) {
	tb := newTable(10, 25)
	tb.observe(seen("a", 0))
	tb.done(at(0), expectBatch(t, tb, 0, "a*1"))
	for _, s := range []int{5, 6, 300} {
		tb.observe(seen("a", s))
	}
	tb.observe(seen("b", 301))
	if lost := tb.abandon(at(4)); lost != 0 {
		t.Fatalf("lost %d that were recorded later", lost)
	}
	if lost := tb.abandon(at(5)); lost != 3 {
		t.Fatalf("lost %d, want the 3 that were not written", lost)
	}
	expectBatch(t, tb, 301, "b*1")
}

func TestBudgetsRefill(t *testing.T) {
	b := newBudgets(10, 2)
	steps := []struct {
		seconds int
		want    bool
	}{
		{0, true}, {0, true}, {0, false}, {299, false}, {300, true}, {300, false},
		{-100, false}, // a clock that goes back gives nothing
		{10_000, true}, {10_000, true}, {10_000, false},
	}
	for i, s := range steps {
		if got := b.spend(seen("a", 0).series(), at(s.seconds)); got != s.want {
			t.Fatalf("step %d, at %d s: got %v, want %v", i, s.seconds, got, s.want)
		}
	}
	if !b.spend(seen("b", 0).series(), at(10_000)) {
		t.Fatal("objects share a budget")
	}
}

// TestTableHolds checks, over random histories, the guarantees of doc.go about memory,
// the rate of writes, and counts.
func TestTableHolds(t *testing.T) {
	for seed := range uint64(50) {
		h := &history{T: t, random: rand.New(rand.NewPCG(seed, 0)), tb: newTable(8, 1000), lastWrite: map[*series]time.Time{}}
		for range 2000 {
			h.step()
			h.check()
		}
		h.end()
	}
}

type history struct {
	*testing.T
	random    *rand.Rand
	tb        *table
	now       int
	batch     []write
	accepted  uint64
	written   uint64
	lost      uint64
	lastWrite map[*series]time.Time
	writes    []time.Time
}

func (h *history) step() {
	switch h.random.IntN(6) {
	case 0:
		h.now += h.random.IntN(15)
	case 1:
		if h.batch == nil {
			h.batch, _ = h.tb.nextBatch(at(h.now), 3)
		}
	case 2:
		h.finish(h.random.IntN(4) == 0)
	case 3:
		if h.random.IntN(20) == 0 {
			h.lost += h.tb.abandon(at(h.now - 60))
		}
	default:
		if _, cause := h.tb.observe(seen(fmt.Sprint(h.random.IntN(12)), h.now)); cause == dropNone {
			h.accepted++
		}
	}
}

func (h *history) finish(fail bool) {
	if fail {
		h.tb.failed(h.batch)
		h.batch = nil
		return
	}
	for _, w := range h.batch {
		if last, ok := h.lastWrite[w.series]; ok && at(h.now).Sub(last) < writeInterval {
			h.Fatalf("a series was written %s after the last time", at(h.now).Sub(last))
		}
		h.lastWrite[w.series] = at(h.now)
		h.writes = append(h.writes, at(h.now))
		h.written += w.count - w.series.written
	}
	h.tb.done(at(h.now), h.batch)
	h.batch = nil
}

func (h *history) check() {
	h.Helper()
	tb := h.tb
	if n := len(tb.byKey); n > tb.limit || n != tb.ready.Len()+tb.writing.Len()+tb.cooling.Len()+tb.idle.Len() {
		h.Fatalf("%d series, %d ready, %d writing, %d cooling, %d idle", n, tb.ready.Len(), tb.writing.Len(), tb.cooling.Len(), tb.idle.Len())
	}
	if n := len(h.writes); n > tb.limit && h.writes[n-1].Sub(h.writes[n-1-tb.limit]) < writeInterval {
		h.Fatalf("more than %d writes in %s", tb.limit, writeInterval)
	}
}

// end writes the rest: every occurrence was written or reported lost.
func (h *history) end() {
	h.finish(false)
	for h.now += 10; ; h.now += 10 {
		if h.batch, _ = h.tb.nextBatch(at(h.now), 100); len(h.batch) == 0 {
			break
		}
		h.finish(false)
	}
	if h.written+h.lost != h.accepted {
		h.Fatalf("%d accepted, %d written, %d lost", h.accepted, h.written, h.lost)
	}
}
