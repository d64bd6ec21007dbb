// Package change is one change of a key, as the filters judge it and the
// printers show it.
package change

import (
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	kjson "sigs.k8s.io/json"

	"github.com/homeostat/homeostat/pkg/condition"
)

// Change is what happened to a key, in one revision or, where changes are joined,
// in several.
type Change struct {
	// Event is the newest.
	Event *clientv3.Event
	// Op is condition.OpCreate, OpUpdate or OpDelete.
	Op string
	// Joined is how many changes this one stands for.
	Joined int
}

// Of returns the change that an event is.
func Of(ev *clientv3.Event) Change {
	c := Change{Event: ev, Op: condition.OpUpdate, Joined: 1}
	switch {
	case ev.Type == mvccpb.DELETE:
		c.Op = condition.OpDelete
	case ev.IsCreate():
		c.Op = condition.OpCreate
	}
	return c
}

// Join returns the change that this one and a later one of the same key are
// together: what was created and then updated was created.
func (c Change) Join(later Change) Change {
	later.Joined += c.Joined
	switch {
	case later.Op == condition.OpDelete:
	case c.Op == condition.OpCreate:
		later.Op = condition.OpCreate
	default:
		later.Op = condition.OpUpdate
	}
	return later
}

// Condition returns what a condition is asked about. A value that is no JSON has
// no fields: it is null there, and value has its text.
func (c Change) Condition() condition.Change {
	kv, old := c.Event.Kv, c.Event.PrevKv
	change := condition.Change{Op: c.Op, Key: string(kv.Key), Value: string(kv.Value), Revision: kv.ModRevision}
	if c.Op != condition.OpDelete {
		change.New = decode(kv.Value)
	}
	if old != nil {
		change.Old = decode(old.Value)
	}
	return change
}

func decode(value []byte) condition.Lazy {
	return func() (any, error) {
		var decoded any
		if err := kjson.UnmarshalCaseSensitivePreserveInts(value, &decoded); err != nil {
			return nil, nil // no JSON
		}
		return decoded, nil
	}
}
