package queue

import (
	"slices"
	"time"
)

// record is what is known of one key. The queue's mutex guards all of it. The parts
// that few keys have are pointers, since at its start a controller has a record for
// every object.
type record[R comparable, C any] struct {
	key R

	// While the key is queued:
	tenant    *tenantQueue[R, C]  // nil: it is not
	priority  Priority            // that of the tenant queue
	age, turn node[record[R, C]]  // in order.ages and in tenant.items
	pending   *Causes[C]          // of the next reconcile; nil: there are none
	wait      node[record[R, C]]  // in Queue.pending, while there are causes
	requeue   *requeueTimer[R, C] // nil: no time is set
	failure   *failure[R, C]      // nil: the last reconcile did not fail
	gate      *gate[R, C]         // nil: it waits for no revision

	// unknownOutcome says that a write of the key may or may not have happened.
	unknownOutcome bool

	// While a worker reconciles the key:
	running *Causes[C] // nil: none does
	started time.Time
	active  node[record[R, C]] // in Queue.active
}

// failure is how a key's reconciles failed since the last one that did not.
type failure[R comparable, C any] struct {
	count    int
	text     string
	at       time.Time
	terminal bool
	wrote    []Write            // by the last reconcile
	node     node[record[R, C]] // in Queue.failed, while it is terminal
}

// isOwn reports whether all of the causes are changes that the failed reconcile made. f
// is nil if the last reconcile did not fail.
func (q *Queue[R, C]) isOwn(f *failure[R, C], causes ...C) bool {
	if f == nil || len(f.wrote) == 0 {
		return false
	}
	return !slices.ContainsFunc(causes, func(cause C) bool {
		revision := q.config.RevisionOf(cause)
		return revision == 0 || !slices.ContainsFunc(f.wrote, func(w Write) bool {
			return w.Revision == revision && w.Changed(q.config.KeyOf(cause), revision)
		})
	})
}

// idle reports whether there is nothing to remember.
func (r *record[R, C]) idle() bool {
	return r.tenant == nil && r.pending == nil && r.requeue == nil && r.failure == nil &&
		r.gate == nil && !r.unknownOutcome && r.running == nil
}

// isPostponed reports whether the key has causes for which only its timer brings it
// back: Begin returned an error.
func (r *record[R, C]) isPostponed() bool {
	return r.pending != nil && r.tenant == nil && r.running == nil && (r.gate == nil || !r.gate.wanted)
}

// recordOf returns the record of a key, and makes one if there is none. Call it, and
// each method that changes a record, with the mutex held, and call forget afterwards.
func (q *Queue[R, C]) recordOf(key R) *record[R, C] {
	r := q.records.get(key)
	if r == nil {
		r = &record[R, C]{key: key}
		r.age.of, r.turn.of, r.wait.of, r.active.of = r, r, r, r
		q.records.set(key, r)
	}
	return r
}

// forget drops a record that has nothing to remember.
func (q *Queue[R, C]) forget(r *record[R, C]) {
	if r.idle() {
		q.records.delete(r.key)
	}
}

// addCause gives a key one more cause. The caller then adds the key to client-go's
// queue, without the mutex.
func (q *Queue[R, C]) addCause(r *record[R, C], cause C, p Priority, now time.Time) {
	if r.pending == nil {
		r.pending = &Causes[C]{Since: now}
		q.pending.push(&r.wait)
	}
	r.pending.add(cause, p, q.config.RevisionOf(cause))
}

// takeCauses returns the causes of the reconcile that begins now.
func (q *Queue[R, C]) takeCauses(r *record[R, C]) *Causes[C] {
	causes := r.pending
	r.pending = nil
	q.pending.remove(&r.wait)
	return causes
}

// tableKept is how many entries a table may have had and keep its memory.
const tableKept = 4096

// table is a map that gives memory back. Go's maps never do, and a controller has
// all its keys queued at its start and hardly ever again.
type table[K comparable, V any] struct {
	m    map[K]V
	most int // entries since m was made
}

func (t *table[K, V]) get(key K) V { return t.m[key] }

func (t *table[K, V]) len() int { return len(t.m) }

func (t *table[K, V]) set(key K, v V) {
	if t.m == nil {
		t.m = map[K]V{}
	}
	t.m[key] = v
	t.most = max(t.most, len(t.m))
}

// delete moves what is left to a smaller map once seven of eight entries are gone,
// so that a deletion costs the same on average whatever the size.
func (t *table[K, V]) delete(key K) {
	delete(t.m, key)
	if t.most <= tableKept || len(t.m) > t.most/8 {
		return
	}
	smaller := make(map[K]V, len(t.m))
	for k, v := range t.m {
		smaller[k] = v
	}
	t.m, t.most = smaller, len(smaller)
}

// list is a doubly linked list. Its nodes are fields of what they link, so that
// anything can leave in constant time and nothing is allocated.
type list[T any] struct {
	first, last *node[T]
	len         int
}

type node[T any] struct {
	of         *T
	prev, next *node[T]
}

func (l *list[T]) push(n *node[T]) {
	n.prev, n.next = l.last, nil
	if l.last == nil {
		l.first = n
	} else {
		l.last.next = n
	}
	l.last = n
	l.len++
}

func (l *list[T]) remove(n *node[T]) {
	if n.prev == nil {
		l.first = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		l.last = n.prev
	} else {
		n.next.prev = n.prev
	}
	n.prev, n.next = nil, nil
	l.len--
}
