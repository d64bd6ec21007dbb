package controller

import (
	"errors"
	"slices"
	"sync"
)

var errEmptySource = errors.New("the source is empty: make it with For, Owns, Watches or the like")

// sources are the sources of a controller. They can be added and removed while it runs
// and while it does not.
type sources[R comparable] struct {
	binding binding[R]

	mu  sync.Mutex // guards the fields below
	all []*boundSource[R]
	run *run[R] // nil while the controller does not run
}

// boundSource is a source of one controller.
type boundSource[R comparable] struct {
	start starter[R]

	// mu guards the fields below. It is held while the source starts or stops, and may
	// be taken before that of sources, but not after.
	mu      sync.Mutex
	stop    func() // nil unless the source runs
	removed bool
}

func (s *sources[R]) add(source Source[R]) (*boundSource[R], error) {
	if source.bind == nil {
		return nil, errEmptySource
	}
	start, err := source.bind(&s.binding)
	if err != nil {
		return nil, err
	}
	a := &boundSource[R]{start: start}
	s.mu.Lock()
	s.all = append(s.all, a)
	current := s.run
	s.mu.Unlock()
	if current != nil {
		s.beginOne(a, current)
	}
	return a, nil
}

func (s *sources[R]) remove(a *boundSource[R]) {
	a.end(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(other *boundSource[R]) bool { return other == a })
}

// begin starts all sources for a run. Sources added later start at once, until end.
func (s *sources[R]) begin(r *run[R]) {
	s.mu.Lock()
	s.run = r
	all := slices.Clone(s.all)
	s.mu.Unlock()
	for _, a := range all {
		s.beginOne(a, r)
	}
}

// end stops all sources.
func (s *sources[R]) end() {
	s.mu.Lock()
	s.run = nil
	all := slices.Clone(s.all)
	s.mu.Unlock()
	for _, a := range all {
		a.end(false)
	}
}

// current returns the present run, or nil.
func (s *sources[R]) current() *run[R] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run
}

// beginOne starts a source, unless it runs already or r is over.
func (s *sources[R]) beginOne(a *boundSource[R], r *run[R]) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stop == nil && !a.removed && s.current() == r {
		a.stop = a.start(r.enqueue)
	}
}

func (a *boundSource[R]) end(removed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removed = a.removed || removed
	if a.stop != nil {
		a.stop()
		a.stop = nil
	}
}
