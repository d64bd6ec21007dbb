// Package cost finds input that takes more time or memory to decode than its length
// allows.
//
// Such input exists because some types have their own UnmarshalJSON. A resource.Quantity
// of "1e-999999999" computes a power of ten with a billion digits, and so does code that
// later compares or prints it. A quantity of a million digits takes time in proportion to
// the square of its length.
//
// Only the Go types know which part of a value becomes a quantity. They may hide it in
// their own methods, and the same text is harmless as an annotation. So the package does
// not look at types. [JSON] and [Protobuf] return a copy of the value in which each
// costly number is spoilt, so that no parser accepts it. Decode the copy first:
//
//   - If that fails, do not decode the value. It is undecodable.
//   - If that succeeds, nothing parses the costly numbers. Decode the value as usual.
//
// Both functions take time in proportion to the length of the value, and return nil if
// nothing in it is costly, which is the usual case.
//
// The package does not bound the cost of types that compute something from text in a form
// of their own.
package cost

import "errors"

// The limits of a cheap number. Kubernetes' own quantities stay below 2^63 and above a
// nano. Within these limits a quantity takes a few microseconds.
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

// number checks the number at the beginning of text. It returns the lengths of its
// mantissa and of the whole number with its exponent, and an error that says why the
// number is costly. The error is nil if there is no number, or if it is cheap.
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
