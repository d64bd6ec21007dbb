package events

import (
	"container/list"
	"sync"
	"time"

	eventsv1 "k8s.io/api/events/v1"
)

const (
	// restInterval is how often one Event is written at most.
	restInterval = 10 * time.Second
	// idleEnd is how long nothing has happened when a series ends.
	idleEnd = 6 * time.Minute
)

// table holds the series that go on. It is a function of what it is told and of
// the times that it is told: it has no clock, and never waits. Its methods may
// be called concurrently.
//
// A series goes from ready to writing to resting. When it has rested, and
// something happened meanwhile, it is ready again; otherwise it becomes quiet,
// until something happens or its place is needed.
type table struct {
	limit int // of the number of series

	mu      sync.Mutex
	budgets *budgets
	byID    map[identity]*series
	ready   list.List // dirty, to be written at once
	writing list.List // the writer has them
	resting list.List // were written of late; the first is the first to have rested
	quiet   list.List // not dirty; the first is the one for the longest time
}

func newTable(limit, burst int) *table {
	return &table{limit: limit, budgets: newBudgets(limit, burst), byID: map[identity]*series{}}
}

// observe takes in an occurrence, or says why it does not. news says that there
// is something to write at once that was not there before.
func (t *table) observe(o occurrence) (news bool, cause dropCause) {
	id := o.series()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(o.at)
	s := t.byID[id]
	if s != nil && s.in == &t.quiet && o.at.Sub(s.last.at) >= idleEnd {
		t.remove(s)
		s = nil
	}
	if s == nil {
		if cause := t.admit(id, o.at); cause != dropNone {
			return false, cause
		}
		s = newSeries(id, o.at)
		t.byID[id] = s
		t.move(s, &t.quiet)
	}
	s.add(o)
	if s.in != &t.quiet {
		return false, dropNone
	}
	t.move(s, &t.ready)
	return true, dropNone
}

// admit makes room for another series.
func (t *table) admit(id identity, now time.Time) dropCause {
	full := len(t.byID) >= t.limit
	switch {
	case full && t.quiet.Len() == 0:
		return dropFull
	case !t.budgets.spend(id, now):
		return dropLimited
	case full:
		t.remove(t.quiet.Front().Value.(*series))
	}
	return dropNone
}

// settle ends the rest of those that have rested.
func (t *table) settle(now time.Time) {
	for e := t.resting.Front(); e != nil; e = t.resting.Front() {
		s := e.Value.(*series)
		switch {
		case s.restsUntil.After(now):
			return
		case s.dirty():
			t.move(s, &t.ready)
		default:
			t.move(s, &t.quiet)
		}
	}
}

func (t *table) move(s *series, to *list.List) {
	if s.in != nil {
		s.in.Remove(s.at)
	}
	s.in, s.at = to, to.PushBack(s)
}

func (t *table) remove(s *series) {
	s.in.Remove(s.at)
	delete(t.byID, s.id)
}

// write is a series that is being written, as it was at some time.
type write struct {
	series *series
	count  uint64
	event  *eventsv1.Event
}

// take hands out up to n series to be written, of which done or failed must be
// told. When there are none it says how long nothing else than a call of
// observe will change that; 0 is for ever.
func (t *table) take(now time.Time, n int) (batch []write, idle time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(now)
	for e := t.ready.Front(); e != nil && len(batch) < n; e = t.ready.Front() {
		s := e.Value.(*series)
		batch = append(batch, write{s, s.count, s.event()})
		t.move(s, &t.writing)
	}
	if first := t.resting.Front(); first != nil {
		idle = first.Value.(*series).restsUntil.Sub(now)
	}
	return batch, idle
}

// done says that a batch was written.
func (t *table) done(now time.Time, batch []write) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range batch {
		w.series.written = w.count
		w.series.unwrittenSince = now // matters only if there is more by now
		w.series.restsUntil = now.Add(restInterval)
		t.move(w.series, &t.resting)
	}
}

// failed says that a batch may not have been written.
func (t *table) failed(batch []write) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range batch {
		t.move(w.series, &t.ready)
	}
}

// hurry makes ready what is to be written, rested or not.
func (t *table) hurry() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := t.resting.Front(); e != nil; {
		s := e.Value.(*series)
		e = e.Next()
		if s.dirty() {
			t.move(s, &t.ready)
		}
	}
}

// giveUp ends the series that are ready and have had something to write since a
// time or longer. It returns how many occurrences etcd will not know of.
func (t *table) giveUp(since time.Time) (lost uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := t.ready.Front(); e != nil; {
		s := e.Value.(*series)
		e = e.Next()
		if !s.unwrittenSince.After(since) {
			lost += s.count - s.written
			t.remove(s)
		}
	}
	return lost
}
