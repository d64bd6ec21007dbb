package condition

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
)

// CompileError describes the first fault of an expression, and where it is.
type CompileError struct {
	Expr string
	// Line and Column are the place of the fault, counted from 1. Column counts
	// characters.
	Line, Column int
	// Reason describes the fault.
	Reason string
	// More is the number of further faults.
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

// missing reports whether an evaluation failed because a field or an element does not
// exist. CEL's errors differ only in their texts.
func missing(err error) bool {
	return hasPrefix(err, "no such key: ", "no such attribute(s): ", "index out of bounds: ", "unsupported index type 'string' in list")
}

// unfit reports whether an evaluation failed because an operation does not accept the
// type of a value, such as null.
func unfit(err error) bool { return hasPrefix(err, "no such overload", "got 'types.Null'") }

func hasPrefix(err error, prefixes ...string) bool {
	return err != nil && slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(err.Error(), p) })
}
