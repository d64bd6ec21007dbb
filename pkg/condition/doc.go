// Package condition evaluates expressions that users write about changes of objects:
//
//	old.status.phase == "Pending" && new.status.phase == "Failed"
//
// The language is CEL, as in Kubernetes' validation rules, with its standard
// functions, macros and optional values. An expression is compiled once, and then
// evaluated for any number of changes.
//
// [Where] and [Transition] make filters of expressions about typed objects, for
// handlers of package informer and for controllers. [Compile] is for changes of
// other values, such as those of raw etcd keys.
//
// # Names in an expression
//
//   - old and new: the values before and after the change, or null if there is
//     none. Fields are reached by name. Numbers without a fraction are integers;
//     integers and fractions compare as numbers.
//   - op: "create", "update" or "delete".
//   - key, value, revision: the etcd key, its value as text (empty for
//     a deletion), and the revision of the change. Only
//     [Condition.MatchesChange] has them.
//
// An expression of [Where] has only the name object.
//
// # Guarantees
//
//   - [Compile] finds errors of syntax and type, unknown names, malformed regular
//     expressions and expressions that are not bool, and reports their position.
//     The fields of old and new have no declared types, so errors in their use
//     show only when the expression is evaluated.
//   - If the result depends on a missing field or element, or on old or new when
//     there is none, the condition is not met; that is no error. Where && and ||
//     can decide without the missing part, they do. The negation of such
//     a condition is not met either: if absence is meant to count, write
//     has(new.status.phase), or new.?status.phase.orValue("").
//   - Any other failure is an error, such as the comparison of a text with
//     a number.
//   - Every evaluation ends: its cost is bounded as in Kubernetes, and the time of
//     an expression with a loop is bounded as well.
//   - A Condition is safe for concurrent use. It neither changes nor keeps the
//     values that it gets.
//
// # What is not guaranteed
//
//   - A field that is null is not missing: comparing it with a number is an error.
//   - Go structs are not valid values for [Compile]; use [Where] and [Transition]
//     for them.
package condition
