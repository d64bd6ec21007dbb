package queue

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// model behaves as the documentation of the queue says, in the simplest form.
type model struct {
	t *testing.T
	q testQueue
	c interface {
		Now() time.Time
		Step(time.Duration)
	}

	causes  int              // how many there were; they are numbered
	pending map[string][]int // not returned yet, by key
	timers  map[string]modelTimer
	written map[string]int64 // the revision that a key must see
	unknown map[string]bool  // ... and it must see what etcd has when it comes up
	working []string         // the keys that workers have
	refused map[string]bool  // keys with causes that a reconcile could not begin with

	pops   int
	queued []queuedKey    // the oldest first
	bounds map[string]int // how many more keys may leave until a queued key must have
	turns  map[level]int  // how many others had a turn since a tenant had one
}

type queuedKey struct {
	key string
	level
}

type level struct {
	tenant   string
	priority Priority
}

type modelTimer struct {
	due   time.Time
	cause int
}

// FuzzQueue calls the methods of a queue in any order that a controller may, and
// compares the queue with the model.
func FuzzQueue(f *testing.F) {
	f.Add([]byte{0x00, 0x01, 0x20, 0x40, 0x60, 0x80, 0xa0, 0xc0, 0xe0, 0x20})
	f.Add([]byte("a key for each letter, and something done to it"))
	f.Add([]byte{0x00, 0x20, 0xd0, 0x00, 0x20, 0xa0, 0x20, 0x40, 0x80, 0x20, 0x50, 0x80, 0x80, 0x20})
	f.Add([]byte{0x00, 0x20, 0xf0, 0x40, 0xd0, 0x00, 0x20, 0x90, 0xa0, 0xc0, 0x20}) // etcd does not answer
	f.Fuzz(func(t *testing.T, steps []byte) {
		c := newFakeClock()
		m := &model{t: t, q: newTestQueue(c), c: c, pending: map[string][]int{}, timers: map[string]modelTimer{},
			written: map[string]int64{}, unknown: map[string]bool{}, refused: map[string]bool{}, bounds: map[string]int{}, turns: map[level]int{}}
		for _, b := range steps {
			m.step(b>>5, fmt.Sprintf("%d/%d", b>>2&3, b&3), b>>4&1 == 1)
			m.check()
		}
		m.finish()
	})
}

func (m *model) step(what byte, key string, flag bool) {
	priority := High
	if flag {
		priority = Low
	}
	switch what {
	case 0:
		delete(m.refused, key)
		m.q.Add(key, m.cause(key), priority)
	case 1:
		if m.q.State().Queued > 0 {
			m.get()
		}
	case 2:
		m.end(Result[int]{After: time.Duration(priority) * time.Second})
	case 3:
		m.end(Result[int]{Err: errors.New("no"), Backoff: !flag, Priority: priority})
	case 4:
		pause := time.Duration(priority) * 2 * time.Second
		if m.causes++; pause > 0 {
			due := m.c.Now().Add(pause)
			if old := m.timers[key].due; m.refused[key] && old.Before(due) {
				due = old
			}
			m.timers[key] = modelTimer{due, m.causes}
		} else {
			delete(m.refused, key)
			delete(m.timers, key)
			m.pending[key] = append(m.pending[key], m.causes)
		}
		m.q.RequeueAfter(key, pause, m.causes)
	case 5:
		m.advance(time.Second)
	case 6:
		m.q.replica.reach(m.q.replica.revision + 1)
		if m.q.replica.err = nil; flag {
			m.q.replica.err = errors.New("etcd is away")
		}
	case 7:
		if len(m.working) > 0 {
			key, revision := m.working[0], m.q.replica.revision+1+int64(priority)
			m.written[key] = max(m.written[key], revision)
			m.unknown[key] = m.unknown[key] || flag
			m.q.replica.etcd = max(m.q.replica.etcd, revision)
			m.q.Wrote(key, revision, flag)
		}
	}
}

func (m *model) cause(key string) int {
	m.causes++
	m.pending[key] = append(m.pending[key], m.causes)
	return m.causes
}

// get takes a key and begins with it.
func (m *model) get() {
	key, _ := m.q.Get()
	if slices.Contains(m.working, key) {
		m.t.Fatalf("two workers have %s", key)
	}
	m.popped(key)
	if m.unknown[key] && m.q.replica.err != nil {
		m.refuse(key)
		return
	}
	if m.unknown[key] && len(m.pending[key]) > 0 {
		delete(m.unknown, key)
		m.written[key] = max(m.written[key], m.q.replica.etcd)
	}
	must := len(m.pending[key]) > 0 && m.written[key] <= m.q.replica.revision
	causes, err := m.q.Begin(m.t.Context(), key)
	if err != nil {
		m.t.Fatal(err)
	}
	if (causes != nil) != must {
		m.t.Fatalf("%s at revision %d: got causes %v; pending are %v, it wrote at %d",
			key, m.q.replica.revision, causes.List(), m.pending[key], m.written[key])
	}
	if causes == nil {
		m.q.Done(key)
		return
	}
	own := slices.DeleteFunc(causes.List(), func(c int) bool { return c < 0 }) // without releases
	if pending := m.pending[key]; causes.Omitted() == 0 && !slices.Equal(own, pending) || causes.Total < len(pending) {
		m.t.Fatalf("%s: got causes %v of %d, want %v", key, own, causes.Total, pending)
	}
	delete(m.pending, key)
	m.working = append(m.working, key)
}

// refuse expects that a reconcile does not begin, and lets its key come back.
func (m *model) refuse(key string) {
	if _, err := m.q.Begin(m.t.Context(), key); err == nil {
		m.t.Fatalf("%s: began without an answer from etcd", key)
	}
	m.causes++
	m.q.Finish(key, Result[int]{Err: errors.New("no answer"), Backoff: true, Cause: m.causes})
	m.timers[key] = modelTimer{m.q.KeyState(key).Next, m.causes}
	m.refused[key] = len(m.pending[key]) > 0
	m.q.Done(key)
}

// end ends the reconcile that began first.
func (m *model) end(o Result[int]) {
	if len(m.working) == 0 {
		return
	}
	key := m.working[0]
	m.working = m.working[1:]
	m.causes++
	o.Cause = m.causes
	m.q.Finish(key, o)
	s := m.q.KeyState(key)
	delete(m.timers, key)
	if o.After > 0 || o.Backoff {
		m.timers[key] = modelTimer{s.Next, o.Cause}
	}
	if (s.LastError != "") != (o.Err != nil) || (s.Failures > 0) != (o.Err != nil) {
		m.t.Fatalf("%s ended with %v: %+v", key, o.Err, s)
	}
	m.q.Done(key)
}

func (m *model) advance(d time.Duration) {
	m.c.Step(d)
	m.q.fire()
	due := slices.Collect(maps.Keys(m.timers))
	slices.SortFunc(due, func(a, b string) int { return m.timers[a].due.Compare(m.timers[b].due) })
	for _, key := range due {
		if t := m.timers[key]; !t.due.After(m.c.Now()) {
			m.pending[key] = append(m.pending[key], t.cause)
			delete(m.timers, key)
			delete(m.refused, key)
		}
	}
}

// popped checks that a key was allowed to leave the queue.
func (m *model) popped(key string) {
	m.pops++
	i := slices.IndexFunc(m.queued, func(k queuedKey) bool { return k.key == key })
	switch {
	case i < 0:
		m.t.Fatalf("%s left, which was not queued", key)
	case m.pops%agingInterval == 0:
		if i != 0 {
			m.t.Fatalf("%s left in its turn for age, not %s", key, m.queued[0].key)
		}
	default:
		m.turn(m.queued[i].level)
	}
	delete(m.bounds, key)
	for k := range m.bounds {
		if m.bounds[k]--; m.bounds[k] <= 0 {
			m.t.Fatalf("%s waits longer than it may", k)
		}
	}
}

// turn checks that it was the turn of a tenant.
func (m *model) turn(of level) {
	for _, k := range m.queued {
		switch {
		case k.priority < of.priority:
			m.t.Fatalf("%v had a turn before %v", of, k.level)
		case k.level == of || k.priority > of.priority:
		case m.turns[k.level] == tenants:
			m.t.Fatalf("tenants have had turns, and %v not", k.level)
		}
	}
	waiting := map[level]int{}
	for _, k := range m.queued {
		waiting[k.level] = m.turns[k.level]
		if k.level != of && k.priority == of.priority {
			waiting[k.level]++
		}
	}
	delete(waiting, of)
	m.turns = waiting
}

const tenants = 4

// check compares the queue's state with the model, and its parts with each other.
func (m *model) check() {
	q := m.q
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	m.queued = m.queued[:0]
	for a := q.order.ages.first; a != nil; a = a.next {
		m.queued = append(m.queued, queuedKey{a.of.key, level{a.of.tenant.name, a.of.priority}})
		if _, ok := m.bounds[a.of.key]; !ok {
			m.bounds[a.of.key] = agingInterval * (n + 1)
		}
		n++
	}
	maps.DeleteFunc(m.turns, func(l level, _ int) bool { // a tenant that left begins anew
		return !slices.ContainsFunc(m.queued, func(k queuedKey) bool { return k.level == l })
	})
	if n != len(m.bounds) || n != q.order.len {
		m.t.Fatalf("%d keys are queued, want %d", n, len(m.bounds))
	}
	var pending, active, timers, backoffs, gates, held, failed int
	for key, r := range q.records.m {
		if r.idle() {
			m.t.Fatalf("the record of %s has nothing to remember", key)
		}
		if (r.pending != nil) != (len(m.pending[key]) > 0) {
			m.t.Fatalf("%s has causes %v, want %v", key, r.pending.List(), m.pending[key])
		}
		if m.refused[key] && r.requeue == nil {
			m.t.Fatalf("%s has causes and no time", key)
		}
		if r.pending != nil && r.tenant == nil && r.running == nil && (r.gate == nil || !r.gate.wanted) && !m.refused[key] {
			m.t.Fatalf("%s has causes and is lost", key)
		}
		if want, ok := m.timers[key]; ok != (r.requeue != nil) || ok && !r.requeue.due.Equal(want.due) {
			m.t.Fatalf("%s comes back: %t, want %t", key, r.requeue != nil, ok)
		}
		count(&pending, r.pending != nil)
		count(&active, r.running != nil)
		count(&timers, r.requeue != nil)
		count(&backoffs, r.requeue != nil && r.requeue.backoff)
		count(&gates, r.gate != nil)
		count(&held, r.gate != nil && r.gate.wanted)
		count(&failed, r.failure != nil && r.failure.terminal)
	}
	got := []int{q.pending.len, q.active.len, len(q.timers), q.backoffs, q.gates.len, q.held, q.failed.len}
	if want := []int{pending, active, timers, backoffs, gates, held, failed}; !slices.Equal(got, want) {
		m.t.Fatalf("the books say %v, the records %v", got, want)
	}
	if active != len(m.working) || timers != len(m.timers) {
		m.t.Fatalf("%d keys are reconciled and %d come back, want %d and %d", active, timers, len(m.working), len(m.timers))
	}
}

func count(n *int, if_ bool) {
	if if_ {
		*n++
	}
}

// finish ends all running reconciles, and checks that no key is lost.
func (m *model) finish() {
	m.q.replica.err = nil
	for key := range m.unknown { // the queue remembers that until the key comes up
		delete(m.refused, key)
		m.q.Add(key, m.cause(key), Low)
	}
	for range 1000 {
		m.q.replica.reach(m.q.replica.revision + 10)
		m.advance(time.Hour)
		for m.check(); m.q.State().Queued > 0; m.check() {
			m.get()
		}
		for len(m.working) > 0 {
			m.end(Result[int]{})
		}
		m.check()
		if m.q.records.len() == m.q.failed.len && len(m.pending) == 0 {
			break
		}
	}
	if len(m.pending) > 0 || m.q.records.len() != m.q.failed.len {
		m.t.Fatalf("left: causes %v, %+v", m.pending, m.q.KeyStates(10))
	}
	if m.q.order.ages.first != nil || m.q.order.levels[High].of.len()+m.q.order.levels[Low].of.len() > 0 {
		m.t.Fatal("the order keeps something")
	}
	m.q.ShutDown()
}
