package queue

import "time"

// causesKept is how many of a key's first causes are kept, and how many of its
// last.
const causesKept = 4

// Priority says which keys are reconciled first.
type Priority uint8

// The priorities, the most urgent first.
const (
	High Priority = iota
	Low
	priorities // how many there are
)

// Causes are the reasons for one reconcile. Only the queue changes them, and only
// until Begin has returned them.
type Causes[C any] struct {
	Since    time.Time // when the first cause came
	Total    int       // how many there were
	Priority Priority  // the most urgent that there was

	// revision is that of all causes so far, or 0 if they have none or several.
	revision int64

	first C
	more  []C // the rest of the first ones, then the last ones as a ring
	all   []C // all of them, while they have a revision and are too many for the ring
}

func (c *Causes[C]) add(cause C, p Priority, revision int64) {
	c.Total++
	if c.Total > 1 && c.revision != revision {
		revision = 0
	}
	c.revision = revision
	c.keepAll(cause)
	switch n := c.Total; {
	case n == 1:
		c.first, c.Priority = cause, p
	case n <= 2*causesKept:
		c.more = append(c.more, cause)
	default:
		c.more[causesKept-1+(n-1)%causesKept] = cause
	}
	c.Priority = min(c.Priority, p)
}

// keepAll keeps causes of one revision: all of them together may be a reconcile's own.
func (c *Causes[C]) keepAll(cause C) {
	switch {
	case c.revision == 0:
		c.all = nil
	case c.Total == 2*causesKept+1:
		c.all = append([]C{c.first}, append(c.more, cause)...)
	case c.Total > 2*causesKept:
		c.all = append(c.all, cause)
	}
}

// every returns all causes, if they have one revision.
func (c *Causes[C]) every() []C {
	if c.all != nil {
		return c.all
	}
	return c.List()
}

// List returns the first four causes and the last four, in order. It returns nil
// for nil.
func (c *Causes[C]) List() []C {
	if c == nil || c.Total == 0 {
		return nil
	}
	all := append([]C{c.first}, c.more...)
	if c.Total > 2*causesKept {
		for i := range causesKept {
			all[causesKept+i] = c.more[causesKept-1+(c.Total+i)%causesKept]
		}
	}
	return all
}

// Omitted returns how many causes List leaves out: those after the fourth.
func (c *Causes[C]) Omitted() int { return max(0, c.Total-2*causesKept) }
