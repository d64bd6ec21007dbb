package controller

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// AddSource gives the controller one more source, at any time. While the controller
// runs, the source begins at once: a source of a kind has the keys of all objects
// that are there reconciled. Where the kind is new to the manager's replica, that is after
// it has been listed; the replica keeps the kind when the source goes.
//
// remove ends the source, for good, and returns when no call of the source's
// functions is under way any more; those must therefore not call it. Keys that
// the source has named until then are reconciled. It may be called more than
// once.
func (l *Controller[R]) AddSource(source Source[R]) (remove func(), err error) {
	s, err := l.sources.add(source)
	if err != nil {
		return nil, fmt.Errorf("controller %q: %w", l.name, err)
	}
	return func() { l.sources.remove(s) }, nil
}

var errEmptySource = errors.New("a source is empty: make it with For, Owns, Watches and their like")

// sources are those of a controller, which come and go whether it runs or not.
type sources[R comparable] struct {
	binding binding[R]

	mu  sync.Mutex
	all []*attached[R]
	run *run[R] // nil while there is none
}

// attached is a source of a controller. Its lock is held while it begins and
// ends: who wants the one has to wait for the other.
type attached[R comparable] struct {
	start starter[R]

	mu      sync.Mutex
	stop    func() // nil unless it runs
	removed bool
}

func (s *sources[R]) add(source Source[R]) (*attached[R], error) {
	if source.bind == nil {
		return nil, errEmptySource
	}
	start, err := source.bind(&s.binding)
	if err != nil {
		return nil, err
	}
	a := &attached[R]{start: start}
	s.mu.Lock()
	s.all = append(s.all, a)
	current := s.run
	s.mu.Unlock()
	if current != nil {
		s.beginOne(a, current)
	}
	return a, nil
}

func (s *sources[R]) remove(a *attached[R]) {
	a.end(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(other *attached[R]) bool { return other == a })
}

// begin starts all sources for a run, and those that come until its end.
func (s *sources[R]) begin(r *run[R]) {
	s.mu.Lock()
	s.run = r
	all := slices.Clone(s.all)
	s.mu.Unlock()
	for _, a := range all {
		s.beginOne(a, r)
	}
}

// end ends all sources of the run.
func (s *sources[R]) end() {
	s.mu.Lock()
	s.run = nil
	all := slices.Clone(s.all)
	s.mu.Unlock()
	for _, a := range all {
		a.end(false)
	}
}

// current returns the run that is under way, or nil.
func (s *sources[R]) current() *run[R] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run
}

// beginOne starts a source, unless it runs already or the run is over.
func (s *sources[R]) beginOne(a *attached[R], r *run[R]) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stop == nil && !a.removed && s.current() == r {
		a.stop = a.start(r.enqueue)
	}
}

func (a *attached[R]) end(removed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removed = a.removed || removed
	if a.stop != nil {
		a.stop()
		a.stop = nil
	}
}
