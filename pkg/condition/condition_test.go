package condition_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/homeostat/homeostat/pkg/condition"
)

// object is a JSON-like value with a field of each type.
func object(phase string) map[string]any {
	return map[string]any{
		"spec": map[string]any{
			"replicas": int64(3), "load": 1.5, "paused": false, "note": nil, "large": int64(1<<62 + 1),
			"tags": []any{"a", "b"}, "ports": []any{map[string]any{"port": int64(80)}},
		},
		"status": map[string]any{"phase": phase},
	}
}

func compile(t *testing.T, expr string) *condition.Condition {
	t.Helper()
	c, err := condition.Compile(expr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMatches(t *testing.T) {
	pending, failed := object("Pending"), object("Failed")
	tests := []struct {
		expr     string
		old, new any
		want     bool
	}{
		{`old.status.phase == "Pending" && new.status.phase == "Failed"`, pending, failed, true},
		{`old.status.phase == "Pending" && new.status.phase == "Failed"`, failed, pending, false},
		{`old.status.phase != new.status.phase`, pending, failed, true},
		{`old.status == new.status`, pending, object("Pending"), true},

		{`new.spec.replicas == 3`, nil, pending, true},
		{`new.spec.replicas > 2.5`, nil, pending, true},
		{`new.spec.load > 1`, nil, pending, true},
		{`new.spec.large == 4611686018427387905`, nil, pending, true},
		{`!new.spec.paused`, nil, pending, true},
		{`new.spec.note == null`, nil, pending, true},
		{`"b" in new.spec.tags`, nil, pending, true},
		{`new.spec.ports.exists(p, p.port == 80)`, nil, pending, true},
		{`new.spec.ports.all(p, p.port == 81)`, nil, pending, false},
		{`new.status["phase"].startsWith("Pend")`, nil, pending, true},

		// What is not there is no match, and neither is its negation.
		{`old.status.phase == "Pending"`, nil, failed, false},
		{`!(old.status.phase == "Pending")`, nil, failed, false},
		{`old.status.phase != "Pending"`, nil, failed, false},
		{`new.status.phase == "Pending"`, pending, nil, false},
		{`new.nothing.at.all == 1`, nil, pending, false},
		{`new.spec.replicas.deeper == 1`, nil, pending, false},
		{`new.spec.ports[1].port == 80`, nil, pending, false},
		{`"status" in old`, nil, pending, false},
		{`old.exists(k, k == "status")`, nil, pending, false},
		{`old > 3`, nil, pending, false},
		{`new.status.phase == "Pending"`, nil, "text", false},
		{`new.status.phase == "Pending"`, nil, []any{int64(1)}, false},

		// What can be decided without it is decided.
		{`old.status.phase == "Pending" || new.status.phase == "Failed"`, nil, failed, true},
		{`old.status.phase == "Pending" && new.status.phase == "Pending"`, nil, failed, false},
		{`has(old.status)`, nil, pending, false},
		{`!has(old.status)`, nil, pending, true},
		{`has(new.status.reason)`, nil, pending, false},
		{`old == null && new != null`, nil, pending, true},
		{`old.?status.?phase.orValue("") == ""`, nil, pending, true},
		{`new.?status.?phase.orValue("") == "Pending"`, nil, pending, true},

		{`op == "create"`, nil, pending, true},
		{`op == "update"`, pending, failed, true},
		{`op == "delete"`, pending, nil, true},
	}
	for _, test := range tests {
		got, err := compile(t, test.expr).Matches(test.old, test.new)
		if err != nil || got != test.want {
			t.Errorf("%s on %v and %v: %v, %v; want %v", test.expr, test.old, test.new, got, err, test.want)
		}
	}
}

func TestMatchesChange(t *testing.T) {
	change := condition.Change{Op: condition.OpUpdate, Key: "/a/\xff", Value: "text \xff", Revision: 42}
	for expr, want := range map[string]bool{
		`op == "update"`:                 true,
		`key.startsWith("/a/")`:          true,
		`key.matches("^/[a-z]/.$")`:      true,
		`value == "text \uFFFD"`:         true,
		`revision > 41`:                  true,
		`old == null`:                    true,
		`revision == 1 || new.field > 3`: false,
	} {
		got, err := compile(t, expr).MatchesChange(change)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", expr, got, err, want)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	tests := []struct {
		expr         string
		line, column int
		reason       string
	}{
		{"", 1, 1, "Syntax error"},
		{"new.phase ==", 1, 13, "Syntax error"},
		{"1 == 1 &&\n  foo.bar == 1", 2, 3, "undeclared reference to 'foo'"},
		{"key == 3", 1, 5, "no matching overload"},
		{`op.size() == "3"`, 1, 11, "no matching overload"},
		{`new.phase.frobnicate()`, 1, 21, "undeclared reference to 'frobnicate'"},
		{`key.matches("(")`, 1, 13, "matches"},
		{`new.at > duration("soon")`, 1, 19, "duration"},
		{"key", 1, 1, "of type string, not bool"},
		{"1 + 2", 1, 3, "of type int, not bool"},
		{"new.enabled", 1, 4, "may be of any type"},
	}
	for _, test := range tests {
		_, err := condition.Compile(test.expr)
		var compile *condition.CompileError
		if !errors.As(err, &compile) {
			t.Errorf("%q: %v, want a CompileError", test.expr, err)
			continue
		}
		if compile.Line != test.line || compile.Column != test.column || !strings.Contains(compile.Reason, test.reason) {
			t.Errorf("%q: %v; want line %d, column %d, %s", test.expr, err, test.line, test.column, test.reason)
		}
	}
}

func TestEvaluationErrors(t *testing.T) {
	for expr, want := range map[string]string{
		`new.status.phase > 3`:                                         "no such overload",
		`new.spec.note > 3`:                                            "no such overload",
		`new.spec.replicas / 0 == 1`:                                   "division by zero",
		`int(new.status.phase) == 1`:                                   "type conversion error",
		`new.status.phase.exists(c, c == "x")`:                         "iterable",
		`new.status.phase || true == false`:                            "no such overload",
		`key == "/a"`:                                                  "the name key is available only for changes of etcd keys",
		`value == ""`:                                                  "the name value is available only for changes of etcd keys",
		`[1, 2, 3].exists(x, [x].exists(y, revision == y))`:            "the name revision is available only for changes of etcd keys",
		`new.spec.tags.map(t, t + new.status.phase)[0].size() / 0 > 1`: "division by zero",
	} {
		if met, err := compile(t, expr).Matches(nil, object("Pending")); met || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want an error that says %q", expr, met, err, want)
		}
	}
}

// An expression that is cheap to write must not be able to run forever.
func TestCostIsBounded(t *testing.T) {
	c := compile(t, `[1, 2, 3, 4, 5].all(x, [1, 2, 3, 4, 5].all(y, !value.contains("b")))`)
	met, err := c.MatchesChange(condition.Change{Value: strings.Repeat("a", 1<<20)})
	if met || err == nil || !strings.Contains(err.Error(), "cost limit exceeded") {
		t.Errorf("%v, %v; want an error about the cost", met, err)
	}
}

// A step that takes longer than its cost suggests is stopped by time.
func TestTimeIsBounded(t *testing.T) {
	items := make([]any, 50_000)
	for i := range items {
		items[i] = int64(i)
	}
	large := map[string]any{"items": items}
	met, err := compile(t, `new.items.all(i, old == new)`).Matches(map[string]any{"items": items}, large)
	if met || err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("%v, %v; want an error about the time", met, err)
	}
}

func TestLazyValuesAreWorkedOutWhenNeeded(t *testing.T) {
	c := compile(t, `op == "update" && new.a == 1 && new.b == 2`)
	calls := 0
	change := condition.Change{Op: condition.OpCreate, New: condition.Lazy(func() (any, error) {
		calls++
		return map[string]any{"a": int64(1), "b": int64(2)}, nil
	})}
	if met, err := c.MatchesChange(change); met || err != nil || calls != 0 {
		t.Errorf("a creation: %v, %v after %d calls", met, err, calls)
	}
	change.Op = condition.OpUpdate
	if met, err := c.MatchesChange(change); !met || err != nil || calls != 1 {
		t.Errorf("an update: %v, %v after %d calls", met, err, calls)
	}
	broken := errors.New("broken")
	change.New = condition.Lazy(func() (any, error) { return nil, broken })
	if met, err := c.MatchesChange(change); met || !errors.Is(err, broken) {
		t.Errorf("a value that cannot be had: %v, %v", met, err)
	}
}

func TestUses(t *testing.T) {
	c := compile(t, `new.old == 1 && key != ""`)
	for name, want := range map[string]bool{"new": true, "key": true, "old": false, "value": false} {
		if c.Uses(name) != want {
			t.Errorf("%s uses %s: %v", c, name, !want)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	conditions := []*condition.Condition{
		compile(t, `old.status.phase == "Pending" && new.status.phase == "Failed"`),
		compile(t, `new.spec.ports.exists(p, p.port == 80)`),
		compile(t, `new.status.phase > 3`), // an error each time
	}
	pending, failed := object("Pending"), object("Failed")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 300 {
				met, err := conditions[i%3].Matches(pending, failed)
				if bad := i%3 == 2; bad != (err != nil) || bad == met {
					t.Errorf("%s: %v, %v", conditions[i%3], met, err)
				}
			}
		})
	}
	wg.Wait()
}
