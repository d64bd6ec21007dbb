// Package fault describes errors of decoding without the content of the value.
//
// Decoders quote what they do not accept: a time that does not parse, a field that is
// unknown. A store that encrypts values must not put such text into errors, logs or
// files. [Of] says what kind of fault an error is, and [Locate] finds the field. Both use
// only the names of Go types and of their fields, never text of the value.
package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	kjson "sigs.k8s.io/json"

	"github.com/homeostat/homeostat/pkg/store/internal/kubejson"
)

// Withheld stands in for the text of an error that may quote a value.
const Withheld = "details are withheld, because the store encrypts values"

// Safe is an error whose text has no content of a value.
type Safe struct{ text string }

func (e *Safe) Error() string { return e.text }

// Error is an error that may quote a value, with a description that does not. Its text
// and its wrapped error are those of Err.
type Error struct {
	// Fault describes the error without content of the value.
	Fault string
	// Err is the error.
	Err error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Recover turns a panic into an [Error]; defer it. Types and conversions are the
// user's, and one bad value must not end the process.
func Recover(doing string, err *error) {
	if p := recover(); p != nil {
		*err = &Error{doing + " panicked", fmt.Errorf("%s panicked: %v", doing, p)}
	}
}

// Hide returns an error without the content of values: the description of err. It does
// not wrap err.
func Hide(err error) error {
	if err == nil {
		return nil
	}
	return &Safe{Of(err)}
}

// Of describes an error without the content of the value that it is about.
func Of(err error) string {
	if text, ok := known(err); ok {
		return text
	}
	return Withheld
}

func known(err error) (text string, ok bool) {
	var (
		safe        *Safe
		described   *Error
		costly      *kubejson.CostError
		marshaler   *json.MarshalerError
		unsupported *json.UnsupportedValueError
	)
	switch {
	case errors.As(err, &described):
		return described.Fault, true
	case errors.As(err, &safe):
		return safe.text, true
	case errors.As(err, &costly):
		return costly.Reason.Error(), true
	case errors.As(err, &marshaler):
		return fmt.Sprintf("the methods of %s fail to encode it: %s", marshaler.Type, Withheld), true
	case errors.As(err, &unsupported):
		return "JSON does not have one of its values, such as NaN", true
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the value is cut short", true
	}
	if at, is := syntaxError(err); is {
		return fmt.Sprintf("the JSON is malformed at byte %d", at), true
	}
	return "", false
}

// syntaxError returns where the JSON is malformed, if that is the error.
func syntaxError(err error) (offset int64, is bool) {
	if is, offset := kjson.SyntaxErrorOffset(err); is {
		return offset, true
	}
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		return syntaxError(err.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range err.Unwrap() {
			if offset, is := syntaxError(inner); is {
				return offset, true
			}
		}
	}
	return 0, false
}

// HideJSON is [Hide] for a value in JSON that does not decode into a type. The error also
// names the field; see [Locate].
func HideJSON(err error, data []byte, t Type, o kubejson.Options) error {
	text, ok := known(err)
	if _, costly := errors.AsType[*kubejson.CostError](err); ok && !costly {
		return &Safe{text}
	}
	at := Locate(data, t, o)
	switch {
	case ok:
	case at.Surplus:
		text = "it has a field that is unknown or there twice"
	default:
		text = fmt.Sprintf("the value is not one of type %s; %s", at.Type, Withheld)
	}
	return &Safe{at.field() + text}
}
