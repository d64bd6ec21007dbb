// Package deepcopy copies values of types that have no generated DeepCopyInto.
//
// It compiles a plan once for each type, so copying plain data costs one
// assignment. A type can be copied if it consists of numbers, strings, booleans,
// slices, arrays, maps, pointers and structs of those, and of types with a
// DeepCopyInto method.
package deepcopy

import (
	"fmt"
	"reflect"
	"sync"
	"time"
)

// Into sets dst to a copy of src that shares no memory with it. If T has a
// DeepCopyInto method, Into calls it. Into panics if [Check] refuses T.
func Into[T any](dst, src *T) {
	if c, ok := any(src).(interface{ DeepCopyInto(*T) }); ok {
		c.DeepCopyInto(dst)
		return
	}
	*dst = *src
	c := copierOf(reflect.TypeFor[T]())
	if c.err != nil {
		panic(c.err)
	}
	if c.fix != nil {
		c.fix(reflect.ValueOf(dst).Elem())
	}
}

// Check returns an error that names the field because of which values of t cannot
// be copied, or nil if they can.
func Check(t reflect.Type) error { return copierOf(t).err }

// copier completes a shallow copy of one type: fix replaces in place every
// reference that the copy shares with the original. A nil fix means that the
// shallow copy is already deep.
type copier struct {
	fix func(reflect.Value)
	err error
}

// copiers caches the copier of each type. A copier depends on its type alone, so
// users of the cache share no state.
var copiers sync.Map // reflect.Type -> *copier

func copierOf(t reflect.Type) *copier {
	if c, ok := copiers.Load(t); ok {
		return c.(*copier)
	}
	fix, err := compile(t, nil)
	c, _ := copiers.LoadOrStore(t, &copier{fix, err})
	return c.(*copier)
}

func compile(t reflect.Type, path []reflect.Type) (func(reflect.Value), error) {
	if fix, ok := compileMethod(t); ok {
		return fix, nil
	}
	for _, p := range path {
		if p == t {
			// t is recursive: look up its copier when the copy is made.
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

// compileMethod handles time.Time and types with a DeepCopyInto method.
func compileMethod(t reflect.Type) (func(reflect.Value), bool) {
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
			return // as generated code: the method would make an empty map or slice
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
