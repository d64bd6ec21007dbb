package condition_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/json"

	"github.com/homeostat/homeostat/pkg/condition"
)

// No expression panics, whatever the values. Two evaluations agree, and a condition
// with an error is not met.
func FuzzCondition(f *testing.F) {
	for _, expr := range []string{
		`old.status.phase == "Pending" && new.status.phase == "Failed"`,
		`has(new.a) && !has(old.a.b)`, `new.?a.?b.orValue(0) > 1`, `new.list.exists(x, x.y == 1)`,
		`key.matches("^/a") || value.size() > 3`, `op in ["create", "delete"] && revision > 7`,
		`new[0][1] == old["x"]`, `timestamp(new.at) > timestamp("2026-01-01T00:00:00Z")`,
		`b'\xff' == bytes(value)`, `dyn(1) == 1u`, `((((`, `[1,2].map(x, x * 2)[9] == 1`, "\xff", "`a.b`",
	} {
		f.Add(expr, `{"a": {"b": 1}, "list": [{"y": 1}]}`, `null`)
	}
	f.Add(`new == old`, `[1, 2.5, "x", null, true, {}]`, `1e400`)
	f.Fuzz(func(t *testing.T, expr, oldJSON, newJSON string) {
		c, err := condition.Compile(expr)
		if err != nil {
			return
		}
		change := condition.Change{Key: "/a\xff", Value: newJSON, Revision: 7}
		_ = json.Unmarshal([]byte(oldJSON), &change.Old) // invalid JSON counts as no value
		_ = json.Unmarshal([]byte(newJSON), &change.New)
		first, firstErr := c.MatchesChange(change)
		again, err := c.MatchesChange(change)
		if first != again || (firstErr == nil) != (err == nil) {
			t.Errorf("%q: %v, %v and then %v, %v", expr, first, firstErr, again, err)
		}
		if firstErr != nil && first {
			t.Errorf("%q: met, and an error: %v", expr, firstErr)
		}
	})
}
