package informer

import (
	"errors"
	"fmt"
	"runtime"
)

// withheld is said of text that may have the content of objects.
const withheld = "is withheld, because the store encrypts values"

// panicError is a panic of one of the user's functions.
type panicError struct {
	what  string // names the function
	value any
}

func (e *panicError) Error() string { return fmt.Sprintf("%s panicked: %v", e.what, e.value) }

// panicText returns what to log of a recovered panic. If the store encrypts values, it
// is the value of the panic only if that is an error of Go itself, such as an index
// out of range.
func (r *Replica) panicText(p any) any {
	if _, own := p.(runtime.Error); own || !r.store.Encrypts() {
		return p
	}
	return fmt.Sprintf("the value, a %T, %s", p, withheld)
}

// withoutContent returns an error of a function that got an object. If the store
// encrypts values, the error has none of the function's text.
func (r *Replica) withoutContent(err error) error {
	if err == nil || !r.store.Encrypts() {
		return err
	}
	if p, ok := errors.AsType[*panicError](err); ok {
		return fmt.Errorf("%s panicked: %v", p.what, r.panicText(p.value))
	}
	return fmt.Errorf("the error, a %T, %s", err, withheld)
}
