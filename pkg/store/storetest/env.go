package storetest

import (
	"context"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/homeostat/homeostat/pkg/store"
)

// env is what a rule works with: a store that nobody else uses.
type env[T store.Object] struct {
	*testing.T
	kind[T]
	s *store.Store

	interruption func(*testing.T)
	interrupted  bool
}

func key(name string) store.Key { return store.Key{Namespace: "default", Name: name} }

// created stores an object and returns it as it is then. The first one is
// followed by the interruption.
func (e *env[T]) created(name string, change ...func(T)) T {
	e.Helper()
	obj := e.named(name)
	for _, f := range change {
		f(obj)
	}
	e.done(e.s.Create(e.Context(), obj))
	if !e.interrupted {
		e.interrupted = true
		e.interrupt()
	}
	return obj
}

// interrupt returns when the store can be used as if nothing had been. What was
// open before the interruption, such as a watch, has suffered from it.
func (e *env[T]) interrupt() {
	e.Helper()
	if e.interruption == nil {
		return
	}
	e.interruption(e.T)
	for {
		_, err := e.s.Revision(e.Context())
		if err == nil {
			return
		}
		if !store.Resumable(err) {
			e.Fatalf("the store has not come back: %v", err)
		}
	}
}

func (e *env[T]) get(name string) T {
	e.Helper()
	obj, err := store.Get[T](e.Context(), e.s, key(name))
	e.must(err)
	return obj
}

// gone fails unless there is no such object.
func (e *env[T]) gone(name string) {
	e.Helper()
	_, err := store.Get[T](e.Context(), e.s, key(name))
	e.want(err, isNotFound)
}

func (e *env[T]) revision() int64 {
	e.Helper()
	rev, err := e.s.Revision(e.Context())
	e.must(err)
	return rev
}

func (e *env[T]) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// done fails unless a write succeeded, and returns its revision.
func (e *env[T]) done(rev int64, err error) int64 {
	e.Helper()
	e.must(err)
	return rev
}

// want fails unless an error is what it should be.
func (e *env[T]) want(err error, is func(error) bool) {
	e.Helper()
	if err == nil {
		e.Fatal("no error")
	}
	if !is(err) {
		e.Fatalf("another error than it should be: %v", err)
	}
}

// write is Create, Update or UpdateStatus of a store.
type write func(context.Context, store.Object) (int64, error)

// deleted is a write that deletes with options.
func (e *env[T]) deleted(o store.DeleteOptions) write {
	return func(ctx context.Context, obj store.Object) (int64, error) { return e.s.Delete(ctx, obj, o) }
}

// refuses fails unless a write is refused, with the right error, without
// writing anything and without a trace in the caller's object.
func (e *env[T]) refuses(w write, obj store.Object, is func(error) bool) {
	e.Helper()
	before, copied := e.revision(), obj.DeepCopyObject()
	_, err := w(e.Context(), obj)
	e.want(err, is)
	if store.IsUnknownOutcome(err) {
		e.Fatalf("the outcome is called unknown: %v", err)
	}
	if !equality.Semantic.DeepEqual(obj, copied) {
		e.Fatalf("the object was changed by a write that failed: %+v, not %+v", obj, copied)
	}
	e.stillAt(before)
}

// stillAt fails if anything was written since.
func (e *env[T]) stillAt(revision int64) {
	e.Helper()
	if now := e.revision(); now != revision {
		e.Fatalf("something was written: etcd is at revision %d, not at %d", now, revision)
	}
}

// same fails unless two objects are equal, as what a write returns and what is
// read afterwards have to be.
func (e *env[T]) same(got, want store.Object) {
	e.Helper()
	if !equality.Semantic.DeepEqual(got, want) {
		e.Fatalf("the object is %+v, not %+v", got, want)
	}
}

// at fails unless an object bears a revision.
func (e *env[T]) at(obj store.Object, revision int64) {
	e.Helper()
	if got := obj.GetResourceVersion(); got != store.FormatRevision(revision) {
		e.Fatalf("the resourceVersion is %s, not %d", got, revision)
	}
}

// equal fails unless two values are.
func equal[V comparable](t testing.TB, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// together runs f n times at once and returns what each had to say.
func together(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errs
}
