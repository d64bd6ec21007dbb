package informer

// backlogLimit is how many changes may wait for a handler before changes of one object
// are joined. Beyond it the backlog grows only with the number of objects.
const backlogLimit = 4096

// backlog holds the changes that a handler has not received yet, in order.
type backlog struct {
	limit int
	// queue has the changes. base is the number of the first. A change with an empty
	// key was joined with a later one.
	queue []change
	base  int
	live  int            // the number of changes with a key
	last  map[string]int // the number of each key's last change since the watermark
}

func newBacklog(limit int) backlog {
	return backlog{limit: limit, last: map[string]int{}}
}

// push adds a change. At the limit it joins the change with the key's last one. The joined
// change keeps the place of the new one, so that it does not overtake other changes.
func (b *backlog) push(c change) {
	if n, ok := b.last[c.key]; ok && b.live >= b.limit {
		pending := &b.queue[n-b.base]
		c.old = pending.old
		*pending = change{}
		b.live--
		delete(b.last, c.key)
		if c.old.same(c.new) {
			return // the object is as it was before
		}
	}
	b.last[c.key] = b.base + len(b.queue)
	b.queue = append(b.queue, c)
	b.live++
	b.compact()
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
	kept := make([]change, 0, 2*b.live)
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
		c := b.queue[0]
		b.queue[0] = change{}
		b.queue = b.queue[1:]
		b.base++
		if c.key == "" {
			continue
		}
		if n, ok := b.last[c.key]; ok && n == b.base-1 {
			delete(b.last, c.key)
		}
		b.live--
		return c, true
	}
	b.queue = nil
	return change{}, false
}
