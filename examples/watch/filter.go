package main

import (
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/examples/watch/internal/change"
)

// filter decides which changes matter.
type filter struct {
	options options
	say     func(what string)

	undecided int // changes of which the condition could not be decided
}

// needsOld reports whether the values before the changes are asked for. They
// cost etcd a read each.
func (f *filter) needsOld() bool {
	return f.options.condition != nil && f.options.condition.Uses("old")
}

// pass returns the change that an event is, and whether it matters.
func (f *filter) pass(ev *clientv3.Event) (change.Change, bool) {
	c := change.Of(ev)
	if !f.options.selection.Contains(ev.Kv.Key) || len(f.options.ops) > 0 && !f.options.ops[c.Op] {
		return c, false
	}
	if f.options.condition == nil {
		return c, true
	}
	met, err := f.options.condition.MatchesChange(c.Condition())
	if err != nil {
		f.undecided++
		if f.undecided == 1 {
			f.say(fmt.Sprintf("left out key %q of revision %d, and whatever else fails the same way: %v", ev.Kv.Key, ev.Kv.ModRevision, err))
		}
	}
	return c, met
}

// sum says how many changes were left out because of errors.
func (f *filter) sum() {
	if f.undecided > 0 {
		f.say(fmt.Sprintf("left out %d changes that the condition could not be decided for", f.undecided))
	}
}
