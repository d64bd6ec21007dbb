package informer

import "sync/atomic"

// filtered returns what the filter leaves of the changes of the listener's kind.
func (l *listener) filtered(changes []change) []change {
	var left []change
	for _, c := range changes {
		if c.kind != l.kind {
			continue
		}
		if c, ok := l.pass(c); ok {
			left = append(left, c)
		}
	}
	return left
}

// pass returns what the filter leaves of a change, and whether that is anything.
func (l *listener) pass(c change) (change, bool) {
	if l.filter == nil {
		return c, true
	}
	left, err := l.filter(c)
	if n := l.faults.add(err); n > 0 {
		l.log().Error(err, "a filter cannot tell; the change passes", "key", c.key, "revision", c.revision, "failures", n)
	}
	return left, left.old != nil || left.new != nil
}

// faults counts the failures of a filter, which may come with every change.
type faults struct{ n atomic.Int64 }

// add returns how many there are when that is worth telling: at the first, and
// whenever the number has doubled.
func (f *faults) add(err error) int64 {
	if err == nil {
		return 0
	}
	if n := f.n.Add(1); n&(n-1) == 0 {
		return n
	}
	return 0
}
