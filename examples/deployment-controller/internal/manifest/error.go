package manifest

import (
	"fmt"
	"strings"
	"unicode"
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
