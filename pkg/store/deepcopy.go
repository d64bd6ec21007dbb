package store

import (
	"fmt"
	"reflect"
	"time"
)

// copier completes a shallow copy of one type: fix replaces, in place, every
// reference that the copy shares with the original. A nil fix says that the
// shallow copy was already deep.
type copier struct {
	fix func(reflect.Value)
	err error
}

// newCopier works out once, per type, what a copy must replace, so that
// copying plain data costs one assignment.
func newCopier(t reflect.Type) *copier {
	fix, err := compile(t, nil)
	return &copier{fix, err}
}

func compile(t reflect.Type, path []reflect.Type) (func(reflect.Value), error) {
	if fix, ok := compileOwn(t); ok {
		return fix, nil
	}
	for _, p := range path {
		if p == t {
			// A recursive type: look its copier up when it runs.
			return func(v reflect.Value) { copierOf(t).fix(v) }, nil
		}
	}
	path = append(path, t)
	switch t.Kind() {
	case reflect.Pointer:
		return compilePointer(t, path)
	case reflect.Slice:
		return compileSlice(t, path)
	case reflect.Array:
		return compileArray(t, path)
	case reflect.Map:
		return compileMap(t, path)
	case reflect.Struct:
		return compileStruct(t, path)
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.UnsafePointer, reflect.Uintptr:
		return nil, fmt.Errorf("%s cannot be copied: give the type a DeepCopyInto method", t)
	}
	return nil, nil
}

// compileOwn handles the types that know better than their fields do.
func compileOwn(t reflect.Type) (func(reflect.Value), bool) {
	if t == reflect.TypeFor[time.Time]() {
		return nil, true // its *Location is never written to
	}
	ptr := reflect.PointerTo(t)
	m, ok := ptr.MethodByName("DeepCopyInto")
	if !ok || m.Type.NumIn() != 2 || m.Type.In(1) != ptr || m.Type.NumOut() != 0 {
		return nil, false
	}
	nilable := t.Kind() == reflect.Map || t.Kind() == reflect.Slice
	return func(v reflect.Value) {
		if nilable && v.IsNil() {
			return // generated code would not call the method, which makes an empty one
		}
		src := reflect.New(t)
		src.Elem().Set(v)
		v.SetZero()
		src.Method(m.Index).Call([]reflect.Value{v.Addr()})
	}, true
}

func compilePointer(t reflect.Type, path []reflect.Type) (func(reflect.Value), error) {
	elem, err := compile(t.Elem(), path)
	return func(v reflect.Value) {
		if v.IsNil() {
			return
		}
		c := reflect.New(t.Elem())
		c.Elem().Set(v.Elem())
		if elem != nil {
			elem(c.Elem())
		}
		v.Set(c)
	}, err
}

func compileSlice(t reflect.Type, path []reflect.Type) (func(reflect.Value), error) {
	elem, err := compile(t.Elem(), path)
	return func(v reflect.Value) {
		if v.IsNil() {
			return
		}
		c := reflect.MakeSlice(t, v.Len(), v.Len())
		reflect.Copy(c, v)
		if elem != nil {
			for i := range c.Len() {
				elem(c.Index(i))
			}
		}
		v.Set(c)
	}, err
}

func compileArray(t reflect.Type, path []reflect.Type) (func(reflect.Value), error) {
	elem, err := compile(t.Elem(), path)
	if elem == nil {
		return nil, err
	}
	return func(v reflect.Value) {
		for i := range v.Len() {
			elem(v.Index(i))
		}
	}, err
}

func compileMap(t reflect.Type, path []reflect.Type) (func(reflect.Value), error) {
	elem, err := compile(t.Elem(), path)
	if err == nil {
		var key func(reflect.Value)
		if key, err = compile(t.Key(), path); key != nil {
			err = fmt.Errorf("%s cannot be copied: its keys hold references", t)
		}
	}
	return func(v reflect.Value) {
		if v.IsNil() {
			return
		}
		c := reflect.MakeMapWithSize(t, v.Len())
		val := reflect.New(t.Elem()).Elem()
		for it := v.MapRange(); it.Next(); {
			val.Set(it.Value())
			if elem != nil {
				elem(val)
			}
			c.SetMapIndex(it.Key(), val)
		}
		v.Set(c)
	}, err
}

func compileStruct(t reflect.Type, path []reflect.Type) (func(reflect.Value), error) {
	type step struct {
		field int
		fix   func(reflect.Value)
	}
	var steps []step
	for i := range t.NumField() {
		f := t.Field(i)
		fix, err := compile(f.Type, path)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t, f.Name, err)
		}
		if fix == nil {
			continue
		}
		if !f.IsExported() {
			return nil, fmt.Errorf("%s.%s: an unexported field with references cannot be copied: give the type a DeepCopyInto method", t, f.Name)
		}
		steps = append(steps, step{i, fix})
	}
	if steps == nil {
		return nil, nil
	}
	return func(v reflect.Value) {
		for _, s := range steps {
			s.fix(v.Field(s.field))
		}
	}, nil
}
