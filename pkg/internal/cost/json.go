package cost

import (
	"bytes"
	"encoding/json"
)

// JSON returns a copy of a JSON value in which the costly numbers are spoilt, and why the
// first of them is costly. It returns nil if there are none. A string that begins with a
// number counts as one, even after white space or in escapes. In the copy, a decoder
// reads a costly number without quotes as 0 if it wants a floating-point number. If data
// is malformed, so is the copy.
func JSON(data []byte) (spoilt []byte, reason error) {
	copied := 0
	numbers(data, func(start, end int, why error) bool {
		if reason == nil {
			reason = why
		}
		if data[start] == '"' {
			spoilt = append(append(spoilt, data[copied:start]...), `"!`...)
			copied = start + 1
			return true
		}
		mantissa, _, _ := number(data[start:end])
		spoilt = append(append(spoilt, data[copied:start+mantissa]...), "e-99999999999999999999"...)
		copied = end
		return true
	})
	if reason == nil {
		return nil, nil
	}
	return append(spoilt, data[copied:]...), reason
}

// IsCostly reports whether a JSON value contains a costly number.
func IsCostly(data []byte) (costly bool) {
	numbers(data, func(int, int, error) bool {
		costly = true
		return false
	})
	return costly
}

// numbers calls found with the bounds of each costly number, or of the string that
// begins with it, until found returns false.
func numbers(data []byte, found func(start, end int, why error) bool) {
	for i := 0; i < len(data); {
		end, err := i+1, error(nil)
		switch c := data[i]; {
		case c == '"':
			end = stringEnd(data, i)
			err = quoted(data[i:end])
		case c == '-' || isDigit(c):
			var length int
			_, length, err = number(data[i:])
			end = i + length
		}
		if err != nil && !found(i, end, err) {
			return
		}
		i = end
	}
}

// stringEnd returns the index after the string that begins at i.
func stringEnd(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch data[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(data)
}

// quoted returns why the number at the beginning of a string is costly.
func quoted(literal []byte) error {
	text := bytes.TrimSpace(literal[1:])
	if len(text) == 0 || !isDigit(text[0]) && bytes.IndexByte([]byte(`-+.\`), text[0]) < 0 {
		return nil
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		var unescaped string
		if json.Unmarshal(literal, &unescaped) != nil {
			return nil // no decoder accepts it
		}
		text = bytes.TrimSpace([]byte(unescaped))
	}
	_, _, err := number(text)
	return err
}

// Nesting returns an error if a JSON value is nested too deeply: a byte of it is within
// more than 32 arrays and objects on average. It is for types that read their whole
// content again at each level. Small values may have about a thousand levels.
func Nesting(data []byte) error {
	depth, total := 0, 0
	for i := 0; i < len(data); i++ {
		size := 1
		switch data[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			size = stringEnd(data, i) - i
			i += size - 1
		}
		total += depth * size
	}
	if total > 32*len(data)+1<<20 {
		return errNesting
	}
	return nil
}
