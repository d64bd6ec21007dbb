package condition

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
)

// CompileError says what is wrong with an expression, and where.
type CompileError struct {
	Expr string
	// Line and Column are where the first fault was found, counted from 1, the
	// column in characters.
	Line, Column int
	// Reason says what is wrong there.
	Reason string
	// More is how many other faults were found.
	More int
}

func (e *CompileError) Error() string {
	more := ""
	if e.More > 0 {
		more = fmt.Sprintf(" (and %d more)", e.More)
	}
	return fmt.Sprintf("condition %q: line %d, column %d: %s%s", e.Expr, e.Line, e.Column, e.Reason, more)
}

func newCompileError(expr string, issues *cel.Issues) *CompileError {
	all := issues.Errors()
	first := all[0]
	return &CompileError{
		Expr: expr, Line: max(1, first.Location.Line()), Column: max(1, first.Location.Column()+1),
		Reason: strings.TrimSuffix(first.Message, " (in container '')"), More: len(all) - 1,
	}
}

func notBool(expr string, checked *cel.Ast) *CompileError {
	at := checked.NativeRep().SourceInfo().GetStartLocation(checked.NativeRep().Expr().ID())
	reason := fmt.Sprintf("the expression is of type %s, not bool", checked.OutputType())
	if checked.OutputType().IsExactType(cel.DynType) {
		reason = "the expression may be of any type: compare it with something, such as true"
	}
	return &CompileError{Expr: expr, Line: max(1, at.Line()), Column: max(1, at.Column()+1), Reason: reason}
}

// missing reports whether an evaluation failed because a field or an element is
// not there. CEL tells its errors apart by their texts only.
func missing(err error) bool {
	return hasPrefix(err, "no such key: ", "no such attribute(s): ", "index out of bounds: ", "unsupported index type 'string' in list")
}

// unfit reports whether an evaluation failed because something cannot be done
// with a value of that type, such as null.
func unfit(err error) bool { return hasPrefix(err, "no such overload", "got 'types.Null'") }

func hasPrefix(err error, prefixes ...string) bool {
	return err != nil && slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(err.Error(), p) })
}
