package queue

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"
)

// The state of a key says what it does or waits for, since when, what failed, and what
// comes next.
func TestKeyState(t *testing.T) {
	c := newFakeClock()
	q := newTestQueue(c)
	begin := c.Now()
	at := func(d time.Duration) time.Time { return begin.Add(d) }
	no := errors.New("no")
	expect := func(what string, want KeyState[string, int], causes ...int) {
		t.Helper()
		got := q.KeyState("a")
		if fmt.Sprint(got.Causes.List()) != fmt.Sprint(causes) {
			t.Errorf("%s: causes %v, want %v", what, got.Causes.List(), causes)
		}
		if got.Causes = nil; got != want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", what, got, want)
		}
	}
	expect("unknown", KeyState[string, int]{Key: "a"})
	q.Add("a", 1, Low)
	c.Step(time.Second)
	q.Add("a", 2, Low)
	expect("queued", KeyState[string, int]{Key: "a", Phase: Queued, Since: at(0), Priority: Low}, 1, 2)
	q.next(t)
	c.Step(time.Second)
	expect("reconciling", KeyState[string, int]{Key: "a", Phase: Reconciling, Since: at(time.Second), Priority: Low}, 1, 2)
	q.Add("a", 3, High)
	expect("and again", KeyState[string, int]{Key: "a", Phase: Reconciling, Since: at(time.Second), Priority: Low, Again: true}, 1, 2)
	q.Finish("a", Result[int]{Err: no, Backoff: true, Cause: 4, Priority: Low})
	q.Done("a")
	expect("queued after a failure", KeyState[string, int]{Key: "a", Phase: Queued, Since: at(2 * time.Second), Priority: High,
		Failures: 1, LastError: "no", LastErrorTime: at(2 * time.Second), Next: at(3 * time.Second)}, 3)
	q.next(t)
	q.Finish("a", Result[int]{Err: no, Backoff: true, Cause: 4, Priority: Low})
	q.Done("a")
	expect("in backoff", KeyState[string, int]{Key: "a", Phase: InBackoff, Since: at(2 * time.Second),
		Failures: 2, LastError: "no", LastErrorTime: at(2 * time.Second), Next: at(4 * time.Second)})
	if s := q.State(); s.InBackoff != 1 || s.WaitingForTime != 0 {
		t.Errorf("in backoff: %+v", s)
	}
	c.Step(2 * time.Second)
	q.fire()
	q.next(t)
	q.Wrote("a", 8, false)
	q.Finish("a", Result[int]{After: time.Minute, Cause: 5, Priority: Low})
	q.Done("a")
	expect("to come back", KeyState[string, int]{Key: "a", Phase: WaitingForTime, Since: at(4 * time.Second), Next: at(64 * time.Second), Revision: 8})
	q.Add("a", 6, High)
	q.next(t)
	q.Done("a")
	expect("waiting for a revision", KeyState[string, int]{Key: "a", Phase: WaitingForRevision, Since: at(4 * time.Second),
		Priority: High, Next: at(64 * time.Second), Revision: 8}, 6)
	q.replica.reach(8)
	q.next(t)
	q.Finish("a", Result[int]{Err: no})
	q.Done("a")
	expect("failed for good", KeyState[string, int]{Key: "a", Phase: Failed, Since: at(4 * time.Second),
		Failures: 1, LastError: "no", LastErrorTime: at(4 * time.Second)})
	if s := q.State(); s != (State{Failed: 1}) {
		t.Errorf("failed for good: %+v", s)
	}
	q.Add("a", 7, High)
	q.next(t)
	q.Finish("a", Result[int]{})
	q.Done("a")
	expect("idle", KeyState[string, int]{Key: "a"})
	if q.records.len() != 0 {
		t.Error("a record is left")
	}
}

func TestFailedKeysAreBounded(t *testing.T) {
	q := newTestQueue(newFakeClock())
	for i := range failedKept + 10 {
		q.Finish(fmt.Sprint(i), Result[int]{Err: errors.New("no")})
	}
	if q.records.len() != failedKept || q.KeyState("9").Phase != Idle || q.KeyState("10").Phase != Failed {
		t.Errorf("%d failed keys are kept", q.records.len())
	}
}

func TestKeyStates(t *testing.T) {
	q := newTestQueue(newFakeClock())
	q.RequeueAfter("later", time.Minute, 0)
	for i := range 4 {
		q.Add(fmt.Sprint("k", i), i, High)
	}
	q.next(t)
	q.Add("k0", 9, High)
	names := func(most int) (names []string) {
		for _, s := range q.KeyStates(most) {
			names = append(names, s.Key)
		}
		return names
	}
	for most, want := range map[int]string{0: "[]", 1: "[k0]", 3: "[k0 k1 k2]", 5: "[k0 k1 k2 k3 later]", 100: "[k0 k1 k2 k3 later]"} {
		if got := fmt.Sprint(names(most)); got != want {
			t.Errorf("at most %d: got %s, want %s", most, got, want)
		}
	}
}

func TestNoKeyStates(t *testing.T) {
	q := newTestQueue(newFakeClock())
	q.Add("a", 1, Low)
	for _, most := range []int{0, -1, math.MinInt} {
		if states := q.KeyStates(most); len(states) > 0 {
			t.Errorf("at most %d: %v", most, states)
		}
	}
}
