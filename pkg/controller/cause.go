package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/homeostat/homeostat/pkg/controller/internal/queue"
	"github.com/homeostat/homeostat/pkg/store"
)

// CauseType says what sort of reason a [Cause] is.
type CauseType string

// The causes of reconciles.
const (
	// CauseAdded, CauseModified and CauseDeleted are changes of an object.
	CauseAdded    CauseType = "added"
	CauseModified CauseType = "modified"
	CauseDeleted  CauseType = "deleted"
	// CauseInitial is an object that existed when its source started.
	CauseInitial CauseType = "initial"
	// CauseRequeueAfter is a time that a [Result] or [Controller.RequeueAfter] set.
	CauseRequeueAfter CauseType = "requeue after"
	// CauseBackoff is the end of the pause after a reconcile that failed or lost a
	// race.
	CauseBackoff CauseType = "backoff"
	// CauseOwnWrites is the arrival of the key's own writes in the replica. The key's
	// other causes came before, and had to wait for it.
	CauseOwnWrites CauseType = "own writes"
	// CauseDecodable is that the value stored under the key, which could not be
	// decoded, now can be or is gone.
	CauseDecodable CauseType = "decodable"
	// CauseTimer is a round of [Every] or [Resync].
	CauseTimer CauseType = "timer"
	// CauseSharding is that the key now belongs to this process: see [Sharding].
	CauseSharding CauseType = "sharding"
	// CauseChannel is a key that came through [FromChannel].
	CauseChannel CauseType = "channel"
)

// Cause is one reason to reconcile a key; see [Causes] and [KeyState].
type Cause struct {
	// Type is the sort of reason.
	Type CauseType
	// Kind and Object name the object that changed. They are empty if the cause is
	// not the change of an object.
	Kind   string
	Object store.Key
	// Revision is the revision of the change, or, for CauseOwnWrites, the one that the
	// key waited for. It is 0 for other causes.
	Revision int64

	prefix string // of the etcd keys of the kind; empty if they are in another etcd than the manager's
}

// String formats a cause for logs, such as "modified Pod town/web at 57".
func (c Cause) String() string {
	switch {
	case c.Kind != "":
		return fmt.Sprintf("%s %s %s at %d", c.Type, c.Kind, strings.TrimPrefix(c.Object.String(), "/"), c.Revision)
	case c.Revision != 0:
		return fmt.Sprintf("%s at %d", c.Type, c.Revision)
	}
	return string(c.Type)
}

// changeRevision returns the revision of the change that a cause is, or 0 if it is none
// in the manager's etcd.
func changeRevision(c Cause) int64 {
	if c.prefix == "" {
		return 0
	}
	return c.Revision
}

// changedKey returns the etcd key of the object that a cause says has changed.
func changedKey(c Cause) string { return c.prefix + strings.TrimPrefix(c.Object.String(), "/") }

// priority is that of a key with this cause.
func (c Cause) priority() queue.Priority {
	switch c.Type {
	case CauseInitial, CauseRequeueAfter, CauseTimer, CauseOwnWrites, CauseSharding:
		return queue.Low
	}
	return queue.High
}

// Causes returns the causes of a reconcile. ctx is the context that the reconciler
// received, or comes from it; for any other context, Causes returns nothing. Each cause
// belongs to one reconcile: the first that begins after it. total is how many causes
// there were; causes has the first four and the last four, in order.
//
// Causes are for logs, traces and curiosity. A reconciler decides by the state of the
// objects, not by what happened to them.
func Causes(ctx context.Context) (causes []Cause, total int) {
	w, ok := ctx.Value(writesKey{}).(*observedWrites)
	if !ok {
		return nil, 0
	}
	return w.causes.List(), w.causes.Total
}

func causeStrings(c *causes) (all []string) {
	for _, cause := range c.List() {
		all = append(all, cause.String())
	}
	return all
}

// causesText formats causes for a log line.
func causesText(c *causes) string {
	all := causeStrings(c)
	if n := c.Omitted(); n > 0 {
		all = slices.Insert(all, len(all)/2, fmt.Sprintf("%d more", n))
	}
	return strings.Join(all, ", ")
}

// Tenant divides the keys of a type into groups that share a controller's workers
// fairly: a group with many keys does not delay the others. Implement it for keys of
// your own type. The tenant of a [Request] is its namespace.
type Tenant interface {
	// Tenant returns the name of the key's group. It must always return the same name
	// for the same key. If it panics, the key belongs to the group with the empty name.
	Tenant() string
}

// tenantOf returns the function that returns the tenant of a key.
func tenantOf[R comparable]() func(R) string {
	var namespace any = func(r Request) string { return r.Namespace }
	if of, ok := namespace.(func(R) string); ok {
		return of // converts no Request to an interface, which would allocate
	}
	if _, ok := any(*new(R)).(Tenant); ok {
		return func(key R) (tenant string) {
			_ = guard("Tenant", func() error { tenant = any(key).(Tenant).Tenant(); return nil })
			return tenant
		}
	}
	return func(R) string { return "" }
}
