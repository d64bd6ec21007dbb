package manifest

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// maxMessage is the maximum length of a message. Some messages quote their input, which may be a whole document.
const maxMessage = 600

// Error is one thing wrong with a source.
type Error struct {
	// Source is the name of the file or directory, or "stdin".
	Source string
	// Index is the number of the document, from 1. It is 0 if the error is about the whole source.
	Index int
	// Field is the path of the field, such as "spec.template.spec.containers[0].image". It is empty if the error is
	// about no field.
	Field string
	// Err says what is wrong.
	Err error
}

// Error returns a single line such as "deploy.yaml: document 2: spec.selector: ...".
func (e *Error) Error() string {
	parts := []string{e.Source}
	if e.Index > 0 {
		parts = append(parts, fmt.Sprintf("document %d", e.Index))
	}
	if e.Field != "" {
		parts = append(parts, e.Field)
	}
	return oneLine(strings.Join(append(parts, e.Err.Error()), ": "))
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Errors returns what kept a document from being applied, with its place: an Error for each invalid field that err
// names, or else one for err itself. It returns none if err is nil.
func (d Document) Errors(err error) []*Error {
	if err == nil {
		return nil
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil || len(status.Status().Details.Causes) == 0 {
		return []*Error{{Source: d.Source, Index: d.Index, Field: d.Field, Err: err}}
	}
	var errs []*Error
	for _, cause := range status.Status().Details.Causes {
		errs = append(errs, &Error{
			Source: d.Source, Index: d.Index, Field: join(d.Field, cause.Field), Err: errors.New(cause.Message),
		})
	}
	return errs
}

// oneLine makes text safe for one line of a terminal. It may quote input with line breaks and escape sequences.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxMessage {
		return string(runes[:maxMessage]) + "..."
	}
	return text
}
