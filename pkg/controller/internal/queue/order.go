package queue

import "sync"

// agingInterval is the number of keys of which one is the key that has waited longest,
// whatever its priority and its tenant.
const agingInterval = 8

// order is the order in which keys leave client-go's queue; the package comment
// describes it. client-go calls its methods under the lock of its queue. They take
// the mutex of the records: see Queue.mu for the order of the two.
//
// The priority of a queued key may only rise. Whoever raises it adds the key to
// client-go's queue again, which calls Touch. The key keeps its age.
//
// Every method takes constant time.
type order[R comparable, C any] struct {
	queue *Queue[R, C]
	len   int // guarded by the lock of client-go's queue
	pops  int // guarded by the lock of client-go's queue

	// mu is Queue.mu. It guards what follows.
	mu     *sync.Mutex
	ages   list[record[R, C]] // all queued keys, the oldest first
	levels [priorities]tenantQueues[R, C]
}

// tenantQueues are the queued keys of one priority.
type tenantQueues[R comparable, C any] struct {
	of    table[string, *tenantQueue[R, C]]
	turns list[tenantQueue[R, C]] // the tenant whose turn it is comes first
}

// tenantQueue has the keys of one tenant and one priority: at least one.
type tenantQueue[R comparable, C any] struct {
	name  string
	items list[record[R, C]]
	turn  node[tenantQueue[R, C]]
}

// Push adds a key that is not queued.
func (o *order[R, C]) Push(key R) {
	o.len++
	tenant := o.queue.config.Tenant(key)
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.queue.recordOf(key)
	o.ages.push(&r.age)
	o.enter(r, tenant, r.nextPriority())
}

// Touch notes that a queued key was added again.
func (o *order[R, C]) Touch(key R) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.queue.records.get(key)
	if p := r.nextPriority(); p < r.priority {
		tenant := r.tenant.name
		o.leave(r)
		o.enter(r, tenant, p)
	}
}

// Len returns how many keys are queued.
func (o *order[R, C]) Len() int { return o.len }

// Pop removes the key that is next. There must be one.
func (o *order[R, C]) Pop() R {
	o.len--
	o.pops++
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.ages.first.of
	if o.pops%agingInterval != 0 {
		r = o.next()
	}
	o.ages.remove(&r.age)
	o.leave(r)
	key := r.key
	o.queue.forget(r)
	return key
}

// next returns the first key of the tenant whose turn it is, and ends that turn.
func (o *order[R, C]) next() *record[R, C] {
	for p := range o.levels {
		turns := &o.levels[p].turns
		if turn := turns.first; turn != nil {
			turns.remove(turn)
			turns.push(turn)
			return turn.of.items.first.of
		}
	}
	return nil
}

// enter puts a key at the end of its tenant's queue. A new tenant has its turn
// after all others.
func (o *order[R, C]) enter(r *record[R, C], tenant string, p Priority) {
	level := &o.levels[p]
	t := level.of.get(tenant)
	if t == nil {
		t = &tenantQueue[R, C]{name: tenant}
		t.turn.of = t
		level.of.set(tenant, t)
		level.turns.push(&t.turn)
	}
	r.tenant, r.priority = t, p
	t.items.push(&r.turn)
}

func (o *order[R, C]) leave(r *record[R, C]) {
	t := r.tenant
	r.tenant = nil
	t.items.remove(&r.turn)
	if t.items.first == nil {
		level := &o.levels[r.priority]
		level.of.delete(t.name)
		level.turns.remove(&t.turn)
	}
}

// nextPriority is that of the next reconcile. A key without causes needs none.
func (r *record[R, C]) nextPriority() Priority {
	if r.pending == nil {
		return Low
	}
	return r.pending.Priority
}
