// Package change represents changes of keys, for filters and printers.
package change

import (
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	kjson "sigs.k8s.io/json"

	"github.com/homeostat/homeostat/pkg/condition"
)

// Change is one change of a key, or several merged ones.
type Change struct {
	// Event is the newest event.
	Event *clientv3.Event
	// Op is condition.OpCreate, OpUpdate or OpDelete.
	Op string
	// Joined is the number of merged changes; 1 for a single one.
	Joined int
}

// Of converts an event.
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

// Join merges a later change of the same key into this one. A creation followed by
// an update is a creation.
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

// Condition returns the change in the form that conditions evaluate. A value that is
// not JSON has no fields: new or old is null, and value has the text.
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
			return nil, nil // not JSON
		}
		return decoded, nil
	}
}
