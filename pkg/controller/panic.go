package controller

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// panicError is a recovered panic.
type panicError struct {
	what  string // that panicked
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("%s panicked: %v", e.what, e.value) }

// guard calls f and turns a panic of it into an error.
func guard(what string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{what, p, string(debug.Stack())}
		}
	}()
	return f()
}

// sound returns an error as it is. It panics with one whose methods do, such as a
// nil pointer of an error's type: call it where that is recovered from.
func sound(err error) error {
	if err != nil {
		_ = err.Error()
		_ = isLookAgain(err) // unwraps it
	}
	return err
}

func isPanic(err error) bool {
	var p *panicError
	return errors.As(err, &p)
}
