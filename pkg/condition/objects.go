package condition

import (
	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Where returns a filter that holds for the objects for which an expression about
// one object is true:
//
//	object.status.phase == "Failed"
//
// The only name in the expression is object. The error is a [*CompileError] when
// the expression is at fault. informer.Filter says what a failure while it runs
// means.
func Where[T store.Object](expr string) (informer.Filter[T], error) {
	matches, err := ForObject[T](expr)
	if err != nil {
		return informer.Filter[T]{}, err
	}
	return informer.Leaf[T]{Object: matches}.Filter(), nil
}

// Transition returns a filter that holds for the changes for which an expression
// is true:
//
//	old.status.phase != "Failed" && new.status.phase == "Failed"
//
// The names in the expression are old, new and op. The error is
// a [*CompileError] when the expression is at fault. informer.Filter says what
// a failure while it runs means.
func Transition[T store.Object](expr string) (informer.Filter[T], error) {
	matches, err := ForObjects[T](expr)
	if err != nil {
		return informer.Filter[T]{}, err
	}
	return informer.Leaf[T]{Change: matches}.Filter(), nil
}

// ForObjects compiles an expression about typed objects. The function that it
// returns may be called concurrently; an object that is the zero value of T is
// one that is not there. Objects are not changed, and are turned into fields
// and values only when the expression comes to need them: one that begins with
// op == "update" does not for a creation.
//
// Fields have the names that they have in JSON. A field that is left out of the
// JSON when empty is missing when it is empty.
func ForObjects[T store.Object](expr string) (func(old, new T) (bool, error), error) {
	c, err := Compile(expr)
	if err != nil {
		return nil, err
	}
	if err := c.needsOnlyValues(); err != nil {
		return nil, err
	}
	return func(old, new T) (bool, error) {
		return c.MatchesChange(Change{Old: fields(old), New: fields(new)})
	}, nil
}

// ForObject compiles an expression about one object, which it calls object and
// nothing else: object.status.phase == "Failed". All else is as with
// [ForObjects].
func ForObject[T store.Object](expr string) (func(obj T) (bool, error), error) {
	c, err := compile(expr, cel.Variable(varObject, cel.DynType))
	if err != nil {
		return nil, err
	}
	return func(obj T) (bool, error) {
		return c.matches(map[string]any{varObject: resolve(fields(obj))})
	}, nil
}

// fields returns nil for no object, and otherwise the object's fields, lazily.
func fields[T store.Object](obj T) any {
	var none T
	if any(obj) == any(none) {
		return nil
	}
	return Lazy(func() (any, error) {
		if u, ok := any(obj).(runtime.Unstructured); ok {
			return u.UnstructuredContent(), nil
		}
		return runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	})
}
