package kubejson

import (
	"hash/maphash"
	"reflect"
	"sync/atomic"
)

// Values caches decoded maps, slices and pointers by their JSON text, so that objects
// share them: labels, selectors, and the resources and ports of containers. Objects
// decoded with it must not be changed. It has a fixed size: a new value replaces an
// older one. It is safe for concurrent use.
//
// It assumes that a type with an UnmarshalJSON method decodes equal texts to equal
// values.
type Values struct {
	seed  maphash.Seed
	slots [valueSlots]valueSlot
}

const (
	valueSlots = 2048
	// valueMax is the maximum length of a cached text in bytes. Longer texts rarely
	// recur.
	valueMax = 512
)

// valueSlot works like internSlot.
type valueSlot struct {
	last  atomic.Uint32
	value atomic.Pointer[decoded]
}

// decoded is a value with the text that it was decoded from.
type decoded struct {
	text    string
	value   reflect.Value
	unknown bool // as decoder.unknown
}

// NewValues returns an empty cache. Do not use one cache for both strict and lenient
// decoding.
func NewValues() *Values { return &Values{seed: maphash.MakeSeed()} }

// shared wraps a plan with the decoder's cache of values.
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
			d.unknown = d.unknown || known.unknown
			return true
		}
		end, before := d.pos+len(text), d.unknown
		d.unknown = false
		ok, unknown := p(d, v), d.unknown
		d.unknown = before || unknown
		if !ok {
			return false
		}
		if tag := uint32(hash >> 32); d.pos == end && slot.last.Swap(tag) == tag {
			value := reflect.New(t).Elem()
			value.Set(v)
			slot.value.Store(&decoded{string(text), value, unknown})
		}
		return true
	}
}

// ahead returns the text of the next value without reading it, or nil if the value is
// null or longer than valueMax. It does not check the syntax, so for invalid JSON the
// text is arbitrary. That is safe: a text found in the cache was decoded before, and a
// text is only cached if decoding ends where the text does.
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

// bracketed returns the length of the value in brackets or quotes at the start of data,
// or 0 if data ends before the value.
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
