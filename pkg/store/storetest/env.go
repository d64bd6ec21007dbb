package storetest

import (
	"context"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/store"
)

// env is the environment of one rule: a store that nobody else uses.
type env[T store.Object] struct {
	t    *testing.T
	kind kind[T]
	s    *store.Store

	interruption func(*testing.T) // nil without interruptions
	interrupted  bool             // it has happened
}

func key(name string) store.Key { return store.Key{Namespace: "default", Name: name} }

// created stores an object and returns it as stored. The interruption follows the first
// one.
func (e *env[T]) created(name string, change ...func(T)) T {
	e.t.Helper()
	obj := e.kind.named(name)
	for _, f := range change {
		f(obj)
	}
	e.done(e.s.Create(e.t.Context(), obj))
	if !e.interrupted {
		e.interrupted = true
		e.interrupt()
	}
	return obj
}

// interrupt runs the interruption, if there is one, and returns when the store works again.
// A watch that was open before may have ended.
func (e *env[T]) interrupt() {
	e.t.Helper()
	if e.interruption == nil {
		return
	}
	e.interruption(e.t)
	for {
		_, err := e.s.Revision(e.t.Context())
		if err == nil {
			return
		}
		if !etcd.Resumable(err) {
			e.t.Fatalf("the store has not come back: %v", err)
		}
	}
}

func (e *env[T]) get(name string) T {
	e.t.Helper()
	obj, err := store.Get[T](e.t.Context(), e.s, key(name))
	e.must(err)
	return obj
}

// gone fails the test if the object exists.
func (e *env[T]) gone(name string) {
	e.t.Helper()
	_, err := store.Get[T](e.t.Context(), e.s, key(name))
	e.want(err, isNotFound)
}

func (e *env[T]) revision() int64 {
	e.t.Helper()
	rev, err := e.s.Revision(e.t.Context())
	e.must(err)
	return rev
}

func (e *env[T]) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// done fails the test unless a write succeeded. It returns the write's revision.
func (e *env[T]) done(rev int64, err error) int64 {
	e.t.Helper()
	e.must(err)
	return rev
}

// want fails the test unless is accepts the error.
func (e *env[T]) want(err error, is func(error) bool) {
	e.t.Helper()
	if err == nil {
		e.t.Fatal("no error")
	}
	if !is(err) {
		e.t.Fatalf("the wrong error: %v", err)
	}
}

// write is a method of a store: Create, Update, UpdateStatus, or deleted.
type write func(context.Context, store.Object) (int64, error)

// deleted returns a write that deletes with options.
func (e *env[T]) deleted(o store.DeleteOptions) write {
	return func(ctx context.Context, obj store.Object) (int64, error) { return e.s.Delete(ctx, obj, o) }
}

// refuses fails the test unless a write is refused with the right error, writes nothing, and
// leaves the caller's object unchanged.
func (e *env[T]) refuses(w write, obj store.Object, is func(error) bool) {
	e.t.Helper()
	before, copied := e.revision(), obj.DeepCopyObject()
	_, err := w(e.t.Context(), obj)
	e.want(err, is)
	if store.IsUnknownOutcome(err) {
		e.t.Fatalf("the outcome is reported as unknown: %v", err)
	}
	if !equality.Semantic.DeepEqual(obj, copied) {
		e.t.Fatalf("the object was changed by a write that failed: %+v, not %+v", obj, copied)
	}
	e.stillAt(before)
}

// stillAt fails the test if anything was written after a revision.
func (e *env[T]) stillAt(revision int64) {
	e.t.Helper()
	if now := e.revision(); now != revision {
		e.t.Fatalf("something was written: etcd is at revision %d, not at %d", now, revision)
	}
}

// same fails the test unless two objects are equal.
func (e *env[T]) same(got, want store.Object) {
	e.t.Helper()
	if !equality.Semantic.DeepEqual(got, want) {
		e.t.Fatalf("the object is %+v, not %+v", got, want)
	}
}

// at fails the test unless an object's resourceVersion is a revision.
func (e *env[T]) at(obj store.Object, revision int64) {
	e.t.Helper()
	if got := obj.GetResourceVersion(); got != store.FormatRevision(revision) {
		e.t.Fatalf("the resourceVersion is %s, not %d", got, revision)
	}
}

// equal fails the test unless two values are equal.
func equal[V comparable](t testing.TB, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// together runs f n times concurrently and returns all errors.
func together(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errs
}
