package main

import (
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/examples/watch/internal/change"
)

// filter selects the changes to print.
type filter struct {
	options options
	say     func(what string)

	undecided int // changes on which the condition failed
}

// needsOld reports whether the condition uses old values. Each costs etcd a read.
func (f *filter) needsOld() bool {
	return f.options.condition != nil && f.options.condition.Uses("old")
}

// pass converts an event to a change and reports whether to print it.
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
			f.say(fmt.Sprintf("left out key %q at revision %d, and others that fail the same way: %v", ev.Kv.Key, ev.Kv.ModRevision, err))
		}
	}
	return c, met
}

// summarize says how many changes were left out because the condition failed.
func (f *filter) summarize() {
	if f.undecided > 0 {
		f.say(fmt.Sprintf("left out %d changes on which the condition failed", f.undecided))
	}
}
