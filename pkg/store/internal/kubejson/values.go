package kubejson

import (
	"hash/maphash"
	"reflect"
	"sync/atomic"
)

// Values remembers what maps, slices and pointers were made of which text, so that
// many objects share one: their labels, their selectors, the resources and ports
// of their containers. Whoever decodes with it must not change what he gets. It
// is of a fixed size and forgets one value for another. It is safe for concurrent
// use.
//
// It takes for granted that types which decode themselves make the same of the
// same text.
type Values struct {
	seed  maphash.Seed
	slots [valueSlots]valueSlot
}

const (
	valueSlots = 2048
	// valueMax is the length of text beyond which a value is not likely to come
	// again.
	valueMax = 512
)

// valueSlot is as internSlot.
type valueSlot struct {
	last  atomic.Uint32
	value atomic.Pointer[madeOf]
}

// madeOf is a value with the text that it was made of.
type madeOf struct {
	text  string
	value reflect.Value
}

// NewValues returns one that remembers nothing yet. Values of a strict and of a
// lenient decoder must not be mixed.
func NewValues() *Values { return &Values{seed: maphash.MakeSeed()} }

// shared is a plan that takes what it can from the decoder's values.
func shared(t reflect.Type, p plan) plan {
	return func(d *decoder, v reflect.Value) bool {
		if d.values == nil {
			return p(d, v)
		}
		text := d.ahead()
		if text == nil {
			return p(d, v)
		}
		hash := maphash.Bytes(d.values.seed, text)
		slot := &d.values.slots[hash%valueSlots]
		if known := slot.value.Load(); known != nil && known.value.Type() == t && known.text == string(text) {
			v.Set(known.value)
			d.pos += len(text)
			return true
		}
		end := d.pos + len(text)
		if !p(d, v) {
			return false
		}
		if tag := uint32(hash >> 32); d.pos == end && slot.last.Swap(tag) == tag {
			value := reflect.New(t).Elem()
			value.Set(v)
			slot.value.Store(&madeOf{string(text), value})
		}
		return true
	}
}

// ahead returns the text of the next value, provided that it is valid, which is not
// looked at: a text that was decoded before is, and what is to be remembered has to
// have been decoded up to the same end. It returns nil for what is long, or a null.
func (d *decoder) ahead() []byte {
	first := d.peek()
	data := d.data[d.pos:min(d.pos+valueMax+1, len(d.data))]
	end := 0
	switch first {
	case 'n':
	case '{', '[', '"':
		end = bracketed(data)
	default:
		for end < len(data) && data[end] > ' ' && data[end] != ',' && data[end] != ']' && data[end] != '}' {
			end++
		}
	}
	if end == 0 || end > valueMax {
		return nil
	}
	return data[:end]
}

// bracketed returns the length of a value in brackets or quotes, or 0 if it has no
// end.
func bracketed(data []byte) int {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		case '"':
			for i = special(data, i+1); i < len(data) && data[i] != '"'; i = special(data, i+1) {
				if data[i] == '\\' {
					i++
				}
			}
		default:
			continue
		}
		if depth == 0 && i < len(data) {
			return i + 1
		}
	}
	return 0
}
