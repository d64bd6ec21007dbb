package kubejson

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strconv"
	"sync"

	"github.com/homeostat/homeostat/pkg/internal/cost"
)

// plan decodes the next value into v, a settable zero value of the plan's type. It
// returns false to make the fast path give up.
type plan func(d *decoder, v reflect.Value) bool

// plans caches the plan of each type. A plan depends on its type alone, so users of the
// cache share no state.
var plans sync.Map // reflect.Type -> plan

func planOf(t reflect.Type) plan {
	if p, ok := plans.Load(t); ok {
		return p.(plan)
	}
	p, _ := plans.LoadOrStore(t, newPlan(t))
	return p.(plan)
}

// later returns a plan that calls planOf when it is first used, since a type can contain
// itself.
func later(t reflect.Type) plan {
	var once sync.Once
	var p plan
	return func(d *decoder, v reflect.Value) bool {
		once.Do(func() { p = planOf(t) })
		return p(d, v)
	}
}

func giveUp(*decoder, reflect.Value) bool { return false }

func newPlan(t reflect.Type) plan {
	if p := known[t]; p != nil {
		return p
	}
	switch ptr := reflect.PointerTo(t); {
	case ptr.Implements(reflect.TypeFor[json.Unmarshaler]()):
		if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface || t.Name() == "" {
			return giveUp // t has the methods of another type
		}
		if nests(t) {
			return giveUp
		}
		return decodeItself
	case ptr.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()), t == reflect.TypeFor[json.Number]():
		return giveUp
	}
	switch t.Kind() {
	case reflect.Bool:
		return decodeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return decodeInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return decodeUint
	case reflect.Float32, reflect.Float64:
		return decodeFloat
	case reflect.String:
		return decodeString
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return decodeAny
		}
	case reflect.Pointer:
		return shared(t, newPointer(t))
	case reflect.Slice:
		return shared(t, newSlice(t))
	case reflect.Map:
		return shared(t, newMap(t))
	case reflect.Struct:
		return newStruct(t)
	}
	return giveUp
}

// decodeItself calls the UnmarshalJSON method of the value, unless that may take long.
func decodeItself(d *decoder, v reflect.Value) bool {
	raw, ok := d.raw()
	return ok && !cost.IsCostly(raw) && v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(raw) == nil
}

func decodeBool(d *decoder, v reflect.Value) bool {
	switch d.peek() {
	case 't':
		v.SetBool(true)
		return d.literal("true")
	case 'f':
		return d.literal("false")
	}
	return d.literal("null")
}

func decodeInt(d *decoder, v reflect.Value) bool {
	if isNull, ok := d.null(); isNull || !ok {
		return ok
	}
	text, integer, ok := d.number()
	if !ok || !integer {
		return false
	}
	n, ok := parseInt(text)
	if !ok || v.OverflowInt(n) {
		return false
	}
	v.SetInt(n)
	return true
}

// parseInt parses a valid JSON integer. It returns false if it overflows an int64.
func parseInt(text []byte) (n int64, ok bool) {
	digits := text
	if text[0] == '-' {
		digits = text[1:]
	}
	if len(digits) > 18 {
		n, err := strconv.ParseInt(string(text), 10, 64)
		return n, err == nil
	}
	for _, c := range digits {
		n = 10*n + int64(c-'0')
	}
	if text[0] == '-' {
		n = -n
	}
	return n, true
}

func decodeUint(d *decoder, v reflect.Value) bool {
	if isNull, ok := d.null(); isNull || !ok {
		return ok
	}
	text, integer, ok := d.number()
	if !ok || !integer {
		return false
	}
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil || v.OverflowUint(n) {
		return false
	}
	v.SetUint(n)
	return true
}

func decodeFloat(d *decoder, v reflect.Value) bool {
	if isNull, ok := d.null(); isNull || !ok {
		return ok
	}
	text, _, ok := d.number()
	if !ok {
		return false
	}
	n, err := strconv.ParseFloat(string(text), v.Type().Bits())
	if err != nil || v.OverflowFloat(n) {
		return false
	}
	v.SetFloat(n)
	return true
}

func decodeString(d *decoder, v reflect.Value) bool {
	if isNull, ok := d.null(); isNull || !ok {
		return ok
	}
	text, ok := d.text()
	if ok {
		v.SetString(d.strings.get(text))
	}
	return ok
}

func newPointer(t reflect.Type) plan {
	elem := later(t.Elem())
	return func(d *decoder, v reflect.Value) bool {
		if isNull, ok := d.null(); isNull || !ok {
			return ok
		}
		target := reflect.New(t.Elem())
		v.Set(target)
		return elem(d, target.Elem())
	}
}

func newSlice(t reflect.Type) plan {
	if t.Elem() == reflect.TypeFor[byte]() {
		return decodeBytes
	}
	if t.Elem().Kind() == reflect.Uint8 {
		return giveUp
	}
	elem := later(t.Elem())
	return func(d *decoder, v reflect.Value) bool {
		if isNull, ok := d.null(); isNull || !ok {
			return ok
		}
		n := 0
		more, ok := d.open('[', ']')
		for ; more; more, ok = d.more(']') {
			if n == v.Cap() {
				v.Grow(max(1, n))
			}
			n++
			v.SetLen(n)
			if !elem(d, v.Index(n-1)) {
				return false
			}
		}
		if n == 0 || n < v.Cap() { // objects live long: waste no capacity
			exact := reflect.MakeSlice(t, n, n)
			reflect.Copy(exact, v)
			v.Set(exact)
		}
		return ok
	}
}

func decodeBytes(d *decoder, v reflect.Value) bool {
	if isNull, ok := d.null(); isNull || !ok {
		return ok
	}
	text, ok := d.text()
	if !ok {
		return false
	}
	b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(b, text)
	v.SetBytes(b[:n:n]) // an append to a shared slice must copy it
	return err == nil
}
