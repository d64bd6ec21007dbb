package condition

import (
	"context"
	"fmt"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

const (
	// costLimit is Kubernetes' bound for one expression. Reaching it takes about a
	// tenth of a second.
	costLimit = 1_000_000
	// timeLimit bounds what the cost does not: the cost of a step ignores the size
	// of its value. Only a loop can take many such steps.
	timeLimit = 2 * time.Second
)

// Condition is a compiled expression. It is safe for concurrent use.
type Condition struct {
	expr    string
	program cel.Program
	names   map[string]bool // the names that the expression uses
	loops   bool
}

// Compile compiles an expression. It returns a [*CompileError] if the expression is
// wrong.
func Compile(expr string) (*Condition, error) {
	return compile(expr,
		cel.Variable(varOld, cel.DynType), cel.Variable(varNew, cel.DynType),
		cel.Variable(varOp, cel.StringType), cel.Variable(varKey, cel.StringType),
		cel.Variable(varValue, cel.StringType), cel.Variable(varRevision, cel.IntType))
}

func compile(expr string, variables ...cel.EnvOption) (*Condition, error) {
	env, err := cel.NewEnv(append(variables,
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), cel.DefaultUTCTimeZone(true),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals()),
	)...)
	if err != nil {
		return nil, fmt.Errorf("condition: %w", err)
	}
	checked, issues := env.Compile(expr)
	if issues.Err() != nil {
		return nil, newCompileError(expr, issues)
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		return nil, notBool(expr, checked)
	}
	program, err := env.Program(checked, cel.CostLimit(costLimit), cel.InterruptCheckFrequency(1))
	if err != nil {
		return nil, &CompileError{Expr: expr, Line: 1, Column: 1, Reason: err.Error()}
	}
	return &Condition{expr: expr, program: program, names: namesIn(checked), loops: hasLoop(checked)}, nil
}

func namesIn(checked *cel.Ast) map[string]bool {
	names := map[string]bool{}
	for _, ref := range checked.NativeRep().ReferenceMap() {
		names[ref.Name] = true
	}
	return names
}

func hasLoop(checked *cel.Ast) bool {
	root := ast.NavigateAST(checked.NativeRep())
	return len(ast.MatchDescendants(root, ast.KindMatcher(ast.ComprehensionKind))) > 0
}

// String returns the expression.
func (c *Condition) String() string { return c.expr }

// Uses reports whether the expression uses a name, such as "old". A caller need not
// fetch values that it does not use.
func (c *Condition) Uses(name string) bool { return c.names[name] }

// Matches reports whether a change from old to new meets the condition. The values
// have the types of decoded JSON: map[string]any, []any, string, bool, float64, int64
// or nil. nil also means that there is no value. Matches returns an error if the
// expression uses key, value or revision.
func (c *Condition) Matches(old, new any) (bool, error) {
	if err := c.needsOnlyValues(); err != nil {
		return false, err
	}
	return c.MatchesChange(Change{Old: old, New: new})
}

func (c *Condition) needsOnlyValues() error {
	for _, name := range []string{varKey, varValue, varRevision} {
		if c.Uses(name) {
			return fmt.Errorf("condition %q: the name %s is available only for changes of etcd keys", c.expr, name)
		}
	}
	return nil
}

// MatchesChange is Matches for a change of an etcd key, so the expression may also use
// key, value and revision.
func (c *Condition) MatchesChange(change Change) (bool, error) {
	return c.matches(change.variables())
}

func (c *Condition) matches(vars map[string]any) (bool, error) {
	result, err := c.eval(vars)
	if missing(err) || c.lacks(vars) && unfit(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("condition %q: %w", c.expr, err)
	}
	return result == types.True, nil
}

// lacks reports whether a value that the expression uses does not exist. It is called
// after the evaluation, when the lazy values are known.
func (c *Condition) lacks(vars map[string]any) bool {
	for name, value := range vars {
		if value == nil && c.Uses(name) {
			return true
		}
	}
	return false
}

func (c *Condition) eval(vars map[string]any) (ref.Val, error) {
	if !c.loops {
		result, _, err := c.program.Eval(vars)
		return result, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
	defer cancel()
	result, _, err := c.program.ContextEval(ctx, vars)
	return result, err
}
