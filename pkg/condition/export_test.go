package condition

import "github.com/homeostat/homeostat/pkg/store"

// ForObjects and ForObject are the functions within the filters of Transition and
// Where.
func ForObjects[T store.Object](expr string) (func(old, new T) (bool, error), error) {
	return forObjects[T](expr)
}

func ForObject[T store.Object](expr string) (func(obj T) (bool, error), error) {
	return forObject[T](expr)
}
