package controller

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/homeostat/homeostat/pkg/store"
)

// CauseType says what had a key reconciled.
type CauseType string

// The causes of reconciles.
const (
	// CauseAdded, CauseModified and CauseDeleted are changes of an object.
	CauseAdded    CauseType = "added"
	CauseModified CauseType = "modified"
	CauseDeleted  CauseType = "deleted"
	// CauseInitial is an object that was there when its source began.
	CauseInitial CauseType = "initial"
	// CauseRequeueAfter is the time that a [Result] or [Controller.RequeueAfter] has set.
	CauseRequeueAfter CauseType = "requeue after"
	// CauseBackoff is the end of the pause after a reconcile that failed, or
	// that lost a race.
	CauseBackoff CauseType = "backoff"
	// CauseOwnWrites says that the key was held until the replica had what its
	// last reconcile wrote; the other causes say what it was held from.
	CauseOwnWrites CauseType = "own writes"
	// CauseTimer is a round of [Every] or [Resync].
	CauseTimer CauseType = "timer"
	// CauseSharding is that the key has come to be this process's: see [Sharding].
	CauseSharding CauseType = "sharding"
	// CauseChannel is a key that came through [FromChannel].
	CauseChannel CauseType = "channel"
)

// Cause is one reason for which a key is reconciled.
type Cause struct {
	Type CauseType
	// Kind and Object name the object that changed; empty where the cause is
	// no object's change.
	Kind   string
	Object store.Key
	// Revision is etcd's at the change, or the one that the key was held for.
	Revision int64
}

// String tells a cause as "modified Pod town/web at 57".
func (c Cause) String() string {
	switch {
	case c.Kind != "":
		return fmt.Sprintf("%s %s %s at %d", c.Type, c.Kind, strings.TrimPrefix(c.Object.String(), "/"), c.Revision)
	case c.Revision != 0:
		return fmt.Sprintf("%s at %d", c.Type, c.Revision)
	}
	return string(c.Type)
}

// class says how soon a cause's keys are to be reconciled.
func (c Cause) class() class {
	switch c.Type {
	case CauseInitial, CauseRequeueAfter, CauseTimer, CauseOwnWrites, CauseSharding:
		return later
	}
	return prompt
}

// Causes returns why the reconcile came about that ctx, or a context that ctx
// derives from, was handed to. Each cause is told to one reconcile, the first
// that begins after it. total is how many there were; causes has the first four
// of them and the last four, in order. For another context it returns nothing.
//
// They are for logs, traces and curiosity. What to do follows from what is, not
// from what happened.
func Causes(ctx context.Context) (causes []Cause, total int) {
	why, ok := ctx.Value(causesKey{}).(*reasons)
	if !ok {
		return nil, 0
	}
	return why.list(), why.total
}

type causesKey struct{}

// causesShown is how many of a reconcile's first causes are kept, and how many of
// its last.
const causesShown = 4

// reasons are the causes of one key since its last reconcile has begun.
type reasons struct {
	since int64 // when the first was noted, in ns; no time.Time, which would have maps allocate
	total int
	class class // the earliest of the causes'
	first Cause
	more  []Cause // the further first, and then the last, from oldest on in turn
}

func (r *reasons) add(c Cause, cl class) {
	r.total++
	switch n := r.total; {
	case n == 1:
		r.first, r.class = c, cl
	case n <= 2*causesShown:
		r.more = append(r.more, c)
	default:
		r.more[causesShown-1+(n-1)%causesShown] = c
	}
	r.class = min(r.class, cl)
}

// age returns how long ago the first was noted.
func (r *reasons) age(now time.Time) time.Duration {
	return time.Duration(now.UnixNano() - r.since)
}

// list returns what is kept, in order.
func (r *reasons) list() []Cause {
	if r.total == 0 {
		return nil
	}
	all := append([]Cause{r.first}, r.more...)
	if r.total > 2*causesShown {
		for i := range causesShown {
			all[causesShown+i] = r.more[causesShown-1+(r.total+i)%causesShown]
		}
	}
	return all
}

// strings tells what is kept, in order.
func (r *reasons) strings() []string {
	var all []string
	for _, c := range r.list() {
		all = append(all, c.String())
	}
	return all
}

// String tells the causes for a log line.
func (r *reasons) String() string {
	var b strings.Builder
	for i, c := range r.list() {
		if i > 0 {
			b.WriteString(", ")
		}
		if i == causesShown && r.total > 2*causesShown {
			fmt.Fprintf(&b, "%d more, ", r.total-2*causesShown)
		}
		b.WriteString(c.String())
	}
	return b.String()
}
