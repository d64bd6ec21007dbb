package condition

import (
	"strings"

	"github.com/google/cel-go/common/types"
)

// These are the names that an expression may use.
const (
	varOld      = "old"
	varNew      = "new"
	varOp       = "op"
	varKey      = "key"
	varValue    = "value"
	varRevision = "revision"
	varObject   = "object" // instead of all others
)

// These are the values of op.
const (
	OpCreate = "create"
	OpUpdate = "update"
	OpDelete = "delete"
)

// Change is one change of an etcd key, for [Condition.MatchesChange].
type Change struct {
	// Old and New are the values before and after the change, with the types of
	// decoded JSON. nil means that there is no value. A [Lazy] value is computed only
	// if the expression needs it.
	Old, New any
	// Op is OpCreate, OpUpdate or OpDelete. Defaults to OpCreate if Old is nil, to
	// OpDelete if New is nil, and else to OpUpdate.
	Op string
	// Key and Value are the etcd key and its value, as text.
	Key, Value string
	// Revision is the etcd revision of the change.
	Revision int64
}

// Lazy computes a value. It is called at most once for each change.
type Lazy func() (any, error)

func (c Change) variables() map[string]any {
	return map[string]any{
		varOld: resolve(c.Old), varNew: resolve(c.New), varOp: c.op(),
		varKey: text(c.Key), varValue: text(c.Value), varRevision: c.Revision,
	}
}

func (c Change) op() string {
	switch {
	case c.Op != "":
		return c.Op
	case c.Old == nil:
		return OpCreate
	case c.New == nil:
		return OpDelete
	}
	return OpUpdate
}

// resolve turns a lazy value into a CEL value. An error becomes an error value, which
// does no harm if the expression is decided without it.
func resolve(value any) any {
	lazy, ok := value.(Lazy)
	if !ok {
		return value
	}
	return func() any {
		value, err := lazy()
		if err != nil {
			return types.WrapErr(err)
		}
		return value
	}
}

// text makes a string valid UTF-8, as CEL demands.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
