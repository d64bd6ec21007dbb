// Package condition decides whether a change matters, by an expression that
// a user writes:
//
//	old.status.phase == "Pending" && new.status.phase == "Failed"
//
// The language is CEL, the one of Kubernetes' own validation rules, with its
// standard functions and macros and its optional values. An expression is
// compiled once and then asked about any number of changes.
//
// # What an expression sees
//
//   - old and new: the values before and after the change, null when there was
//     or is none. Fields are reached by name; numbers are integers where they
//     were written as such, and integers and fractions compare as numbers.
//   - op: "create", "update" or "delete".
//   - key, value, revision: etcd's key, its value as text (empty for a deletion),
//     and the revision of the change. Only [Condition.MatchesChange] has them.
//
// [Transition] and [Where] make filters of expressions over typed objects. An
// expression of Where knows one name, object.
//
// # What is guaranteed
//
//   - Errors of syntax and of type, an unknown name, a malformed regular
//     expression and an expression that is no bool are found by [Compile], and
//     reported with their place. The fields of old and new have no declared
//     types, so what is wrong with those shows only in a change.
//   - A condition is not met when deciding it takes a field or an element that
//     is not there, or old or new as a whole when there is none; a field of an
//     object that was just created has no old value. That is no error. What &&
//     and || can decide without it, they do. The negation of such a condition
//     is not met either: say has(new.status.phase), or
//     new.?status.phase.orValue(""), where absence is meant to count.
//   - Whatever else keeps an expression from a result is an error, such as
//     comparing a text with a number.
//   - An expression ends: its cost is bounded as Kubernetes bounds it, and one
//     with a loop also in time.
//   - A Condition may be used by any number of goroutines at once. It neither
//     changes nor keeps the values it is given.
//
// # What is not
//
//   - A field that is null is there: to compare it with a number is an error.
//   - Go structs are not values; see [ForObjects].
package condition
