package events

import (
	"container/list"
	"sync"
	"time"

	eventsv1 "k8s.io/api/events/v1"
)

const (
	// writeInterval is the least time between two writes of one Event.
	writeInterval = 10 * time.Second
	// seriesTimeout is the time without an occurrence after which a series ends.
	seriesTimeout = 6 * time.Minute
)

// table holds the current series. It is a function of its input and the times that come
// with it: it has no clock, and never waits. Its methods are safe for concurrent use.
//
// A series goes from ready to writing to cooling. When it has cooled down, it is ready
// again if it is dirty. Otherwise it is idle until another occurrence comes or its place
// is needed.
type table struct {
	limit int // on the number of series

	// mu is held briefly, and no other lock is taken under it.
	mu      sync.Mutex
	budgets *budgets
	byKey   map[seriesKey]*series
	ready   list.List // dirty, should be written now
	writing list.List // in a batch that is being written
	cooling list.List // written less than writeInterval ago; the oldest write first
	idle    list.List // not dirty; the one that is idle for longest first
}

func newTable(limit, burst int) *table {
	return &table{limit: limit, budgets: newBudgets(limit, burst), byKey: map[seriesKey]*series{}}
}

// observe adds an occurrence, or returns why it is dropped. news reports whether a series
// has become ready.
func (t *table) observe(o occurrence) (news bool, cause dropCause) {
	key := o.series()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cool(o.at)
	s := t.byKey[key]
	if s != nil && s.in == &t.idle && o.at.Sub(s.last.at) >= seriesTimeout {
		t.remove(s)
		s = nil
	}
	if s == nil {
		if cause := t.admit(key, o.at); cause != dropNone {
			return false, cause
		}
		s = newSeries(key, o.at)
		t.byKey[key] = s
		t.move(s, &t.idle)
	}
	s.add(o)
	if s.in != &t.idle {
		return false, dropNone
	}
	t.move(s, &t.ready)
	return true, dropNone
}

// admit makes room for another series.
func (t *table) admit(key seriesKey, now time.Time) dropCause {
	full := len(t.byKey) >= t.limit
	switch {
	case full && t.idle.Len() == 0:
		return dropFull
	case !t.budgets.spend(key, now):
		return dropLimited
	case full:
		t.remove(t.idle.Front().Value.(*series))
	}
	return dropNone
}

// cool moves on the series that have cooled down.
func (t *table) cool(now time.Time) {
	for e := t.cooling.Front(); e != nil; e = t.cooling.Front() {
		s := e.Value.(*series)
		switch {
		case s.coolsUntil.After(now):
			return
		case s.dirty():
			t.move(s, &t.ready)
		default:
			t.move(s, &t.idle)
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
	delete(t.byKey, s.key)
}

// write is a series in a batch, as it was when the batch was made.
type write struct {
	series *series
	count  uint64
	event  *eventsv1.Event
}

// nextBatch returns up to n series to write. The caller then calls done or failed. If the
// batch is empty, wait is how long only a call of observe can change that; 0 means for
// ever.
func (t *table) nextBatch(now time.Time, n int) (batch []write, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cool(now)
	for e := t.ready.Front(); e != nil && len(batch) < n; e = t.ready.Front() {
		s := e.Value.(*series)
		batch = append(batch, write{s, s.count, s.event()})
		t.move(s, &t.writing)
	}
	if first := t.cooling.Front(); first != nil {
		wait = first.Value.(*series).coolsUntil.Sub(now)
	}
	return batch, wait
}

// done records that a batch was written.
func (t *table) done(now time.Time, batch []write) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range batch {
		w.series.written = w.count
		w.series.unwrittenSince = now // matters only if there is more by now
		w.series.coolsUntil = now.Add(writeInterval)
		t.move(w.series, &t.cooling)
	}
}

// failed records that a batch may not have been written.
func (t *table) failed(batch []write) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range batch {
		t.move(w.series, &t.ready)
	}
}

// endCooldowns makes all dirty series ready, cooled down or not.
func (t *table) endCooldowns() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := t.cooling.Front(); e != nil; {
		s := e.Value.(*series)
		e = e.Next()
		if s.dirty() {
			t.move(s, &t.ready)
		}
	}
}

// abandon removes the series that are ready and have been dirty since a time or longer.
// It returns how many occurrences etcd will lack.
func (t *table) abandon(since time.Time) (lost uint64) {
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
