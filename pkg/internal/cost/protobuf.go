package cost

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode"
)

// maxMessages is the maximum depth of messages within messages. The decoders of
// Kubernetes' types are recursive.
const maxMessages = 10_000

var errMessages = errors.New("the messages are nested more than 10000 deep")

// Protobuf returns a copy of a protobuf message in which the costly numbers are spoilt,
// and why the first of them is costly. It returns nil if there are none. Only a field
// that consists of the number counts. If there is a reason and no copy, the message is
// nested too deeply to be decoded at all.
func Protobuf(data []byte) (spoilt []byte, reason error) {
	if !suspicious(data) {
		return nil, nil
	}
	w := walker{data: data}
	w.message(0, len(data), 0)
	if w.deep {
		return nil, errMessages
	}
	return w.spoilt, w.reason
}

// suspicious reports whether data may contain a costly number or be nested deeply. It
// looks at every fourth byte: one of them is in each run of four digits.
func suspicious(data []byte) bool {
	if len(data) >= 2*maxMessages {
		return true
	}
	for i := maxExponentDigits; i < len(data); i += maxExponentDigits + 1 {
		if !isDigit(data[i]) {
			continue
		}
		start, end := i, i+1
		for ; start > 0 && isDigit(data[start-1]); start-- {
		}
		for ; end < len(data) && isDigit(data[end]); end++ {
		}
		if sign := start - 1; start > 1 && (data[sign] == '-' || data[sign] == '+') {
			start = sign
		}
		if end-start > maxDigits/2 || start > 0 && data[start-1]|0x20 == 'e' {
			return true
		}
		i += (end - 1 - i) / 4 * 4 // on to the end of the run
	}
	return false
}

// walker reads a message without knowing its type. It reads each field with a length both
// as a message and as text. Reading text as a message does no harm: a spoilt number is
// then still a part of the text.
type walker struct {
	data, spoilt []byte
	reason       error
	deep         bool
}

// message reads data[i:end], as far as it has the form of a message.
func (w *walker) message(i, end, depth int) {
	if w.deep = w.deep || depth > maxMessages; w.deep {
		return
	}
	for i < end {
		tag, n := binary.Uvarint(w.data[i:end])
		if n <= 0 {
			return
		}
		i += n
		switch tag & 7 {
		case 0:
			if _, n = binary.Uvarint(w.data[i:end]); n <= 0 {
				return
			}
			i += n
		case 1:
			i += 8
		case 2:
			length, n := binary.Uvarint(w.data[i:end])
			if n <= 0 || length > uint64(end-i-n) {
				return
			}
			i += n
			w.field(i, i+int(length))
			w.message(i, i+int(length), depth+1)
			i += int(length)
		case 5:
			i += 4
		case 3, 4:
		default:
			return
		}
	}
}

// field spoils the last byte of data[i:end] if all of it is a costly number. That byte is
// a digit, a dot or a letter. It gives a field neither its number nor its length, if this
// is a message after all: only the length 0 can stand at its end.
func (w *walker) field(i, end int) {
	text := w.data[i:end]
	_, length, err := number(text)
	suffix := text[length:]
	if err == nil || len(suffix) > len("Ki") || bytes.ContainsFunc(suffix, func(r rune) bool { return !unicode.IsLetter(r) }) {
		return
	}
	if w.reason == nil {
		w.spoilt, w.reason = bytes.Clone(w.data), err
	}
	w.spoilt[end-1] = '!'
}
