package informer

// Changes of one object are joined if backlogLimit changes wait for a handler, or if
// these keep backlogBytes of keys and values from being freed. Beyond the limits the
// backlog grows only with the number of objects.
const (
	backlogLimit = 4096
	backlogBytes = 1 << 20
)

// backlog holds the changes that a handler has not received yet, in order.
type backlog struct {
	limit, maxBytes int
	// queue has the changes. base is the number of the first. A change with an empty
	// key was joined with a later one.
	queue []queued
	base  int
	live  int            // the number of changes with a key
	bytes int            // of the states of these changes
	last  map[string]int // the number of each key's last change since the watermark
}

type queued struct {
	change
	joined bool // the change is the net change of several
}

// newBacklog returns a backlog that joins changes from the given limits on.
func newBacklog(limit, maxBytes int) backlog {
	return backlog{limit: limit, maxBytes: maxBytes, last: map[string]int{}}
}

// push adds a change. At a limit it joins the change with the key's last one. The joined
// change keeps the place of the new one, so that it does not overtake other changes.
// push returns the changes that were joined, except those that it returned before.
func (b *backlog) push(c change) (joined []change) {
	if n, ok := b.last[c.key]; ok && (b.live >= b.limit || b.bytes >= b.maxBytes) {
		pending := b.clear(n - b.base)
		if !pending.joined {
			joined = append(joined, pending.change)
		}
		joined = append(joined, c)
		c.old = pending.old
		delete(b.last, c.key)
		if c.old.same(c.new) {
			return joined // the object is as it was before
		}
	}
	b.last[c.key] = b.base + len(b.queue)
	b.queue = append(b.queue, queued{c, len(joined) > 0})
	b.live++
	b.bytes += c.bytes()
	b.compact()
	return joined
}

// clear empties a place of the queue and returns the change that was there.
func (b *backlog) clear(i int) queued {
	c := b.queue[i]
	b.queue[i] = queued{}
	if c.key != "" {
		b.live--
		b.bytes -= c.bytes()
	}
	return c
}

// bytes returns the size in etcd of the two states. The state between two changes
// counts for both.
func (c change) bytes() (n int) {
	for _, e := range []*entry{c.old, c.new} {
		if e != nil {
			n += e.size
		}
	}
	return n
}

// same reports whether two states of a key are equal. They can be after a restore, which
// brings an object back as it was.
func (e *entry) same(other *entry) bool {
	if e == nil || other == nil {
		return e == other
	}
	return e.rev == other.rev && e.sum == other.sum
}

// setWatermark returns the number of changes. Later changes are not joined with them, so
// the backlog may grow to twice the number of objects.
func (b *backlog) setWatermark() int {
	clear(b.last)
	return b.live
}

// compact removes the empty places when they are the majority.
func (b *backlog) compact() {
	if len(b.queue) < b.limit || len(b.queue) < 2*b.live {
		return
	}
	kept := make([]queued, 0, 2*b.live)
	for i, c := range b.queue {
		if c.key == "" {
			continue
		}
		if n, ok := b.last[c.key]; ok && n == b.base+i {
			b.last[c.key] = b.base + len(kept)
		}
		kept = append(kept, c)
	}
	b.queue = kept
}

// pop removes and returns the oldest change.
func (b *backlog) pop() (change, bool) {
	for len(b.queue) > 0 {
		c := b.clear(0)
		b.queue = b.queue[1:]
		b.base++
		if c.key == "" {
			continue
		}
		if n, ok := b.last[c.key]; ok && n == b.base-1 {
			delete(b.last, c.key)
		}
		return c.change, true
	}
	b.queue = nil
	return change{}, false
}
