package condition

import (
	"strings"

	"github.com/google/cel-go/common/types"
)

// The names that an expression may use.
const (
	varOld      = "old"
	varNew      = "new"
	varOp       = "op"
	varKey      = "key"
	varValue    = "value"
	varRevision = "revision"
	varObject   = "object" // instead of all others
)

// What an expression finds in op.
const (
	OpCreate = "create"
	OpUpdate = "update"
	OpDelete = "delete"
)

// Change is what a condition is asked about.
type Change struct {
	// Old and New are the values before and after the change, as JSON is
	// decoded; nil when there is none. A [Lazy] one is worked out only when
	// the expression needs it.
	Old, New any
	// Op is OpCreate, OpUpdate or OpDelete. Defaults to what Old and New say:
	// what has no old value was created.
	Op string
	// Key and Value are etcd's, as text.
	Key, Value string
	// Revision is that of the change.
	Revision int64
}

// Lazy works out a value. It is called at most once for each change.
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

// resolve turns a lazy value into what CEL takes for one. An error becomes the
// value, so that an expression that is decided without it is decided.
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

// text makes a string what CEL says strings are.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
