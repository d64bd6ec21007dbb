package controller

import (
	"sync"
	"time"
)

// notes has the causes of keys that are to be reconciled. A key's causes are
// noted before the key is added to the queue, and taken by the reconcile that
// begins next. So nothing is ever lost: a key that is noted is queued, about to
// be, or held by its gate. And a key that comes from the queue without a note
// needs no reconcile: between note and queue, one has begun that serves it.
type notes[R comparable] struct {
	now func() time.Time

	mu sync.Mutex
	of table[R, reasons]
}

func (n *notes[R]) add(key R, c Cause, cl class) {
	n.mu.Lock()
	defer n.mu.Unlock()
	why, noted := n.of.get(key)
	if !noted {
		why.since = n.now().UnixNano()
	}
	why.add(c, cl)
	n.of.set(key, why)
}

// has reports whether a key is to be reconciled.
func (n *notes[R]) has(key R) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.of.get(key)
	return ok
}

// take returns a key's causes and forgets them.
func (n *notes[R]) take(key R) reasons {
	n.mu.Lock()
	defer n.mu.Unlock()
	why, _ := n.of.get(key)
	n.of.delete(key)
	return why
}

// class returns a key's class. It is called under the queue's lock, and only gets
// earlier while the key is queued.
func (n *notes[R]) class(key R) class {
	n.mu.Lock()
	defer n.mu.Unlock()
	why, _ := n.of.get(key)
	return why.class
}

// oldest returns how long the key has waited that has waited longest. It looks at
// all of them.
func (n *notes[R]) oldest(now time.Time) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	var oldest time.Duration
	for _, why := range n.of.m {
		oldest = max(oldest, why.age(now))
	}
	return oldest
}
