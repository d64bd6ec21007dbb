package kubejson

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// maxDepth is the nesting depth above which the fast path gives up. The original has a
// higher limit.
const maxDepth = 500

// decoder reads JSON from data. A method that reads something returns false, as its
// last result, to make the fast path give up.
type decoder struct {
	data    []byte
	pos     int
	depth   int
	strings *Interner
	values  *Values // nil: nothing is shared
	strict  bool
	unknown bool // a struct lacked a field of the value
}

// peek skips white space and returns the next byte, or 0 at the end.
func (d *decoder) peek() byte {
	for ; d.pos < len(d.data); d.pos++ {
		if c := d.data[d.pos]; c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
	}
	return 0
}

// take skips white space and reads the byte c. It returns false if the next byte is
// another one.
func (d *decoder) take(c byte) bool {
	if d.peek() != c {
		return false
	}
	d.pos++
	return true
}

// end reports whether only white space is left.
func (d *decoder) end() bool { return d.peek() == 0 && d.pos == len(d.data) }

func (d *decoder) literal(word string) bool {
	d.peek()
	if len(d.data)-d.pos < len(word) || string(d.data[d.pos:d.pos+len(word)]) != word {
		return false
	}
	d.pos += len(word)
	return true
}

// null reads a null if the next value is one.
func (d *decoder) null() (isNull, ok bool) {
	if d.peek() != 'n' {
		return false, true
	}
	ok = d.literal("null")
	return ok, ok
}

// open reads an opening bracket, and more reads the comma between two values. Either
// also reads the closing bracket if that is next. They report whether a value follows:
//
//	more, ok := d.open('[', ']')
//	for ; more; more, ok = d.more(']') {
//		// read a value
//	}
//	return ok
func (d *decoder) open(open, shut byte) (more, ok bool) {
	if d.depth++; d.depth > maxDepth || !d.take(open) {
		return false, false
	}
	if d.peek() != shut {
		return true, true
	}
	return d.more(shut)
}

func (d *decoder) more(shut byte) (more, ok bool) {
	switch d.peek() {
	case ',':
		d.pos++
		return true, true
	case shut:
		d.pos++
		d.depth--
		return false, true
	}
	return false, false
}

// name reads the name of an object's field and the colon after it.
func (d *decoder) name() ([]byte, bool) {
	name, ok := d.text()
	return name, ok && d.take(':')
}

// text reads a string and returns its content. The bytes may be part of the input, so the
// caller must copy them to keep them.
func (d *decoder) text() ([]byte, bool) {
	if !d.take('"') {
		return nil, false
	}
	ascii := true
	for start, i := d.pos, special(d.data, d.pos); i < len(d.data); i = special(d.data, i+1) {
		switch c := d.data[i]; {
		case c == '"':
			d.pos = i + 1
			return d.data[start:i], ascii || utf8.Valid(d.data[start:i])
		case c == '\\':
			return d.escaped(start, i)
		case c < ' ':
			return nil, false
		}
		ascii = false
	}
	return nil, false
}

// special returns the index of the first byte, from i on, that is a quote, a backslash, a
// control character or not ASCII. It returns len(data) if there is none.
//
// It tests eight bytes at a time and sets the high bit of each such byte in marks. The
// subtractions can carry from a marked byte into the bytes above it and mark those
// wrongly. The lowest mark is always right, and only that one is used.
func special(data []byte, i int) int {
	const each, high = 0x0101010101010101, 0x8080808080808080
	for ; len(data)-i >= 8; i += 8 {
		b := binary.LittleEndian.Uint64(data[i:])
		quote, escape := b^each*'"', b^each*'\\'
		if marks := ((b-each*' ')&^b | (quote-each)&^quote | (escape-each)&^escape | b) & high; marks != 0 {
			return i + bits.TrailingZeros64(marks)/8
		}
	}
	for ; i < len(data) && data[i] != '"' && data[i] != '\\' && data[i] >= ' ' && data[i] < utf8.RuneSelf; i++ {
	}
	return i
}

// escaped reads the rest of a string from its first escape on.
func (d *decoder) escaped(start, i int) ([]byte, bool) {
	b := append(make([]byte, 0, 2*(i-start)+32), d.data[start:i]...)
	for i < len(d.data) {
		switch c := d.data[i]; {
		case c == '"':
			d.pos = i + 1
			return b, utf8.Valid(b)
		case c < ' ':
			return nil, false
		case c != '\\':
			b = append(b, c)
			i++
		default:
			r, n := escape(d.data[i+1:])
			if n == 0 {
				return nil, false
			}
			b = utf8.AppendRune(b, r)
			i += 1 + n
		}
	}
	return nil, false
}

// escape decodes the escape sequence after a backslash and returns its length. The length
// is 0 if the sequence is invalid or a surrogate.
func escape(b []byte) (r rune, length int) {
	if len(b) == 0 {
		return 0, 0
	}
	if b[0] != 'u' {
		i := bytes.IndexByte([]byte(`"\/bfnrt`), b[0])
		if i < 0 {
			return 0, 0
		}
		return rune("\"\\/\b\f\n\r\t"[i]), 1
	}
	if len(b) < 5 {
		return 0, 0
	}
	for _, c := range b[1:5] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, 0
		}
	}
	if 0xd800 <= r && r < 0xe000 {
		return 0, 0
	}
	return r, 5
}

// number reads a number. It returns the text, and whether it has neither a fraction nor
// an exponent.
func (d *decoder) number() (text []byte, integer, ok bool) {
	d.peek()
	start := d.pos
	if d.pos < len(d.data) && d.data[d.pos] == '-' {
		d.pos++
	}
	zero := d.pos < len(d.data) && d.data[d.pos] == '0'
	if n := d.digits(); n == 0 || zero && n > 1 {
		return nil, false, false
	}
	integer = true
	if d.pos < len(d.data) && d.data[d.pos] == '.' {
		d.pos++
		if integer = false; d.digits() == 0 {
			return nil, false, false
		}
	}
	if d.pos < len(d.data) && d.data[d.pos]|0x20 == 'e' {
		d.pos++
		if d.pos < len(d.data) && (d.data[d.pos] == '+' || d.data[d.pos] == '-') {
			d.pos++
		}
		if integer = false; d.digits() == 0 {
			return nil, false, false
		}
	}
	return d.data[start:d.pos], integer, true
}

func (d *decoder) digits() (n int) {
	for ; d.pos < len(d.data) && '0' <= d.data[d.pos] && d.data[d.pos] <= '9'; d.pos++ {
		n++
	}
	return n
}

// raw reads any value and returns its text.
func (d *decoder) raw() ([]byte, bool) {
	d.peek()
	start := d.pos
	ok := d.skip()
	return d.data[start:d.pos], ok
}

// skip reads any value and drops it.
func (d *decoder) skip() (ok bool) {
	switch d.peek() {
	case '{':
		more, ok := d.open('{', '}')
		for ; more; more, ok = d.more('}') {
			if _, ok := d.name(); !ok || !d.skip() {
				return false
			}
		}
		return ok
	case '[':
		more, ok := d.open('[', ']')
		for ; more; more, ok = d.more(']') {
			if !d.skip() {
				return false
			}
		}
		return ok
	case '"':
		_, ok = d.text()
	case 't':
		ok = d.literal("true")
	case 'f':
		ok = d.literal("false")
	case 'n':
		ok = d.literal("null")
	default:
		_, _, ok = d.number()
	}
	return ok
}
