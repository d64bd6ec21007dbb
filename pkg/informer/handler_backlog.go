package informer

// backlogLimit is how many changes may wait for a handler before the changes of
// one object are told as one. Beyond it, the backlog grows only with the number
// of objects.
const backlogLimit = 4096

// backlog holds the changes that a handler was not told yet, in order.
type backlog struct {
	limit int
	// queue has the changes, of which base is the number of the first; an empty
	// key marks one that was joined with a later one.
	queue []change
	base  int
	live  int            // how many are not empty
	last  map[string]int // the number of each key's last change since the last mark
}

func newBacklog(limit int) backlog {
	return backlog{limit: limit, last: map[string]int{}}
}

// push adds a change. At the limit it is joined with the key's last one, and
// told when it would have been: earlier, it would overtake changes of others.
func (b *backlog) push(c change) {
	if n, ok := b.last[c.key]; ok && b.live >= b.limit {
		pending := &b.queue[n-b.base]
		c.old = pending.old
		*pending = change{}
		b.live--
		delete(b.last, c.key)
		if c.old.same(c.new) {
			return // it came and went unseen
		}
	}
	b.last[c.key] = b.base + len(b.queue)
	b.queue = append(b.queue, c)
	b.live++
	b.compact()
}

// same reports whether two states of one key are the same, as they are when an
// etcd that was restored has an object as it was before.
func (e *entry) same(other *entry) bool {
	if e == nil || other == nil {
		return e == other
	}
	return e.rev == other.rev && e.sum == other.sum
}

// mark returns how many changes there are, and keeps those after it from being
// joined with them. So the backlog may grow to twice the number of objects.
func (b *backlog) setWatermark() int {
	clear(b.last)
	return b.live
}

// compact drops the empty places once they are the greater part.
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

// pop takes out the oldest change.
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
