// Package cost finds input that takes more time or memory to decode than its length
// allows.
//
// Such input exists because types decode themselves. A resource.Quantity of
// "1e-999999999" computes a power of ten with a billion digits, and so does whoever
// compares or prints it later. A quantity of a million digits costs the square of its
// length.
//
// Which part of a value becomes a quantity is known only to the types. They may hide it
// in methods of their own, and the same text is harmless as an annotation. So the
// package does not look at types. [JSON] and [Protobuf] return a copy of the value in
// which each costly number is spoilt, so that no parser accepts it. Decode the copy
// first:
//
//   - If that fails, do not decode the value. It is undecodable.
//   - If that succeeds, nothing parses the costly numbers. Decode the value as usual.
//
// Both functions take time in proportion to the length of the value, whatever it is,
// and return nil if nothing in it is costly. That is nearly always so.
//
// The package does not bound what a type costs that computes something else from text
// of its own form.
package cost

import "errors"

// Limits of a number that is cheap. Kubernetes' own quantities stay below 2^63 and
// above a nano. Within these limits a quantity takes a few microseconds.
const (
	maxDigits         = 1000
	maxExponentDigits = 3
)

// The reasons why a number is costly.
var (
	errExponent = errors.New("the exponent has more than three digits")
	errNesting  = errors.New("the value is nested too deeply for its length")
	errDigits   = errors.New("the number has more than a thousand digits")
)

// number returns why the number at the beginning of text is costly to compute with,
// and the lengths of its mantissa and of the whole number with its exponent. The error
// is nil if there is no number, or if it is not costly.
func number(text []byte) (mantissa, length int, err error) {
	i := 0
	if i < len(text) && (text[i] == '-' || text[i] == '+') {
		i++
	}
	first := i
	for i < len(text) && (isDigit(text[i]) || text[i] == '.') {
		i++
	}
	mantissa = i
	if mantissa-first > maxDigits {
		err = errDigits
	}
	if i == first || i == len(text) || text[i]|0x20 != 'e' {
		return mantissa, i, err
	}
	if i++; i < len(text) && (text[i] == '-' || text[i] == '+') {
		i++
	}
	first = i
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	if err == nil && i-first > maxExponentDigits {
		err = errExponent
	}
	return mantissa, i, err
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
