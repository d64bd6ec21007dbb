package controller

import (
	"errors"
	"fmt"
	"sync"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Debounced delays the keys of a source until no change has come for d.Quiet, or the
// first of the changes has waited for d.Max. Use it for keys that change in bursts:
// a burst is then reconciled once, instead of at its beginning and again at its end.
// Every key that a change of the burst names is reconciled; of the changes of one
// object, the latest is the cause. Initial objects are not delayed. The source must
// react to changes of objects, and the times must not be negative.
func Debounced[R comparable](d informer.Debounce, s Source[R]) Source[R] {
	debounced := s
	debounced.bind = func(b *binding[R]) (starter[R], error) {
		switch {
		case s.bind == nil:
			return nil, errEmptySource
		case !s.watches:
			return nil, errors.New("debounced: the source does not react to changes of objects")
		case d.Quiet < 0 || d.Max < 0:
			return nil, fmt.Errorf("debounced: quiet is %s and max is %s: they must not be negative", d.Quiet, d.Max)
		}
		changed := *b
		changed.debounce = &d
		return s.bind(&changed)
	}
	return debounced
}

// latestCauses collects keys, with the latest cause of each object that named them. The
// zero value is empty. It is safe for concurrent use.
type latestCauses[R comparable] struct {
	mu     sync.Mutex // guards the fields below
	order  []keyedObject[R]
	causes map[keyedObject[R]]Cause
}

// keyedObject is a key, and an object whose changes named it.
type keyedObject[R comparable] struct {
	key    R
	kind   string
	object store.Key
}

func (l *latestCauses[R]) add(key R, c Cause) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.causes == nil {
		l.causes = map[keyedObject[R]]Cause{}
	}
	id := keyedObject[R]{key, c.Kind, c.Object}
	known, ok := l.causes[id]
	if !ok {
		l.order = append(l.order, id)
	}
	if !ok || c.Revision >= known.Revision {
		l.causes[id] = c
	}
}

// drain passes all keys on, in the order in which they came first.
func (l *latestCauses[R]) drain(enqueue func(R, Cause)) {
	l.mu.Lock()
	order, causes := l.order, l.causes
	l.order, l.causes = nil, nil
	l.mu.Unlock()
	for _, id := range order {
		enqueue(id.key, causes[id])
	}
}
