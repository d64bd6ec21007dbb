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
// The only name in the expression is object. Fields have their JSON names. If a field
// is empty and its JSON tag has omitempty or omitzero, it is missing. The error is a
// [*CompileError] if the expression is at fault. If it fails while it runs, the filter
// passes the object; see informer.Filter.
func Where[T store.Object](expr string) (informer.Filter[T], error) {
	matches, err := forObject[T](expr)
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
// The names in the expression are old, new and op; fields are as with [Where]. The
// error is a [*CompileError] if the expression is at fault. If it fails while it
// runs, the filter passes the change; see informer.Filter.
func Transition[T store.Object](expr string) (informer.Filter[T], error) {
	matches, err := forObjects[T](expr)
	if err != nil {
		return informer.Filter[T]{}, err
	}
	return informer.Leaf[T]{Change: matches}.Filter(), nil
}

// forObjects compiles an expression about the objects before and after a change.
// The function that it returns is safe for concurrent use. The zero value of T
// stands for no object. Objects are not changed. They are converted to fields and
// values only when the expression reads them: op == "update" && ... reads nothing
// for a creation.
func forObjects[T store.Object](expr string) (func(old, new T) (bool, error), error) {
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

// forObject compiles an expression about one object; see forObjects.
func forObject[T store.Object](expr string) (func(obj T) (bool, error), error) {
	c, err := compile(expr, cel.Variable(varObject, cel.DynType))
	if err != nil {
		return nil, err
	}
	return func(obj T) (bool, error) {
		return c.matches(map[string]any{varObject: resolve(fields(obj))})
	}, nil
}

// fields returns nil for no object, and otherwise a [Lazy] of the object's fields.
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
