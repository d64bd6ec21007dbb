package controller

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// panicError is a recovered panic.
type panicError struct {
	what  string // names what panicked
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("%s panicked: %v", e.what, e.value) }

// guard calls f. It returns a panic of f as an error.
func guard(what string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{what, p, string(debug.Stack())}
		}
	}()
	return f()
}

// guard calls a function that may read objects, as the function guard does. If the store
// encrypts values, the error has the value of the panic only if that is an error of Go
// itself, such as an index out of range: others may quote an object.
func (m *Manager) guard(what string, f func() error) error {
	err := guard(what, f)
	p, isPanic := err.(*panicError)
	if !isPanic || !m.store.Encrypts() {
		return err
	}
	if _, own := p.value.(runtime.Error); !own {
		p.value = fmt.Sprintf("the value, a %T, is withheld, because the store encrypts values", p.value)
	}
	return p
}

// sound returns err. It panics if the methods of err do, as those of a nil pointer of
// an error type may. Call it within guard.
func sound(err error) error {
	if err != nil {
		_ = err.Error()
		_ = isLookAgain(err) // unwraps it
	}
	return err
}

// stackOf returns the stack of a recovered panic.
func stackOf(err error) (stack string, ok bool) {
	var p *panicError
	if errors.As(err, &p) {
		return p.stack, true
	}
	return "", false
}

func isPanic(err error) bool {
	_, ok := stackOf(err)
	return ok
}
