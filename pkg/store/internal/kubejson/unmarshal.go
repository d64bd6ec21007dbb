// Package kubejson decodes JSON exactly as sigs.k8s.io/json does, but several times
// faster. Kubernetes' serializers use sigs.k8s.io/json; this package calls it the
// original.
//
// A fast path decodes JSON in the form that Kubernetes writes. It gives up at anything
// else: a syntax error, a value of a wrong type, a duplicate field, or a Go type that
// the original may treat specially. The original then decodes the whole value, and
// Unmarshal returns its result and its errors. So the fast path has to keep one rule:
// if it does not give up, its result equals that of the original. The fuzz tests check
// this.
//
// One thing differs: Unmarshal refuses values that take more time to decode than their
// length allows, whichever path they take.
//
// The package uses reflect and no unsafe pointers. It plans the decoding of each type
// once.
package kubejson

import (
	"errors"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/api/resource"
	kjson "sigs.k8s.io/json"

	"github.com/homeostat/homeostat/pkg/internal/cost"
)

// Options say which memory decoded values share, and how strict the decoding is.
type Options struct {
	// Strings makes equal strings share memory. Defaults to nil: none do.
	Strings *Interner
	// Values makes equal maps, slices and pointers share memory; decoded objects must
	// then not be changed. Defaults to nil: none do.
	Values *Values
	// Strict makes unknown and duplicate fields errors. Defaults to false: they are
	// ignored.
	Strict bool
}

// Unmarshal decodes a value. into must point to a zero value; if Unmarshal fails, that
// value has undefined content. Field names are matched exactly. An integer decoded
// into an interface stays an integer. The result shares no memory with data. The
// errors are those of sigs.k8s.io/json, and a [CostError] if the value takes more time
// to decode than its length allows; see package cost.
//
// unknown reports whether data has something that into cannot hold: a field that a
// struct lacks, or a field twice. What types that decode themselves ignore is not
// reported.
func Unmarshal(data []byte, into any, o Options) (unknown bool, err error) {
	if unknown, ok := decode(data, into, o); ok {
		return unknown, nil
	}
	strict, err := UnmarshalStrict(data, into)
	if o.Strict {
		err = errors.Join(append([]error{err}, strict...)...)
	}
	return len(strict) > 0, err
}

// UnmarshalStrict is [Unmarshal] without the fast path. It returns unknown and duplicate
// fields in strict, apart from what keeps the value from being decoded.
func UnmarshalStrict(data []byte, into any) (strict []error, err error) {
	err = guarded(data, into, func(data []byte, into any) (err error) {
		strict, err = kjson.UnmarshalStrict(data, into)
		return err
	})
	return strict, err
}

// CostError says that a value takes more time to decode than its length allows.
type CostError struct {
	// Reason says what is costly, without a part of the value.
	Reason error
	// Decoding is the error of the decoder that met the costly part, or nil.
	Decoding error
}

func (e *CostError) Error() string {
	if e.Decoding == nil || errors.Is(e.Decoding, resource.ErrFormatWrong) || errors.Is(e.Decoding, resource.ErrSuffix) {
		return e.Reason.Error()
	}
	return fmt.Sprintf("%v: %v", e.Reason, e.Decoding)
}

func (e *CostError) Unwrap() error { return e.Decoding }

// guarded decodes a value unless that takes more time than its length allows.
func guarded(data []byte, into any, decode func(data []byte, into any) error) error {
	t := reflect.TypeOf(into)
	if t == nil || t.Kind() != reflect.Pointer {
		return decode(data, into) // an error
	}
	if nests(t) {
		if err := cost.Nesting(data); err != nil {
			return &CostError{Reason: err}
		}
	}
	if spoilt, reason := cost.JSON(data); reason != nil {
		if err := decode(spoilt, reflect.New(t.Elem()).Interface()); err != nil {
			return &CostError{reason, err}
		}
	}
	return decode(data, into)
}

// decode is the fast path. If it gives up, it sets the value that into points to back
// to zero and returns false.
func decode(data []byte, into any, o Options) (unknown, ok bool) {
	ptr := reflect.ValueOf(into)
	if ptr.Kind() != reflect.Pointer || ptr.IsNil() {
		return false, false
	}
	v := ptr.Elem()
	d := decoder{data: data, strings: o.Strings, values: o.Values, strict: o.Strict}
	if planOf(v.Type())(&d, v) && d.end() {
		return d.unknown, true
	}
	v.SetZero()
	return false, false
}
