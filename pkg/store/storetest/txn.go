package storetest

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/store"
)

func txnRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"a transaction writes objects of several kinds at one revision", txnOneRevision[T]},
		{"a transaction writes nothing if one of its writes is refused", txnNothing[T]},
		{"a transaction commits only if its conditions on objects hold", txnConditions[T]},
		{"a transaction commits only if its conditions on ranges hold", txnRange[T]},
		{"a transaction that may be split writes everything, the object given to AllowSplit last", txnSplit[T]},
		{"a transaction that changes nothing costs no revision", txnNoChange[T]},
		{"a transaction accepts an object once", txnTwice[T]},
		{"a transaction that is too large is not sent", txnTooLarge[T]},
		{"concurrent transactions preserve a sum", txnSum[T]},
	}
}

// commit returns a write that commits a transaction on one object, and others.
func (e *env[T]) commit(add func(*store.Txn, store.Object)) write {
	return func(ctx context.Context, obj store.Object) (int64, error) {
		t := e.s.Txn()
		add(t, obj)
		return t.Commit(ctx)
	}
}

func txnOneRevision[T store.Object](e *env[T]) {
	changed, gone := e.created("changed"), e.created("gone")
	*e.kind.spec(changed) = 3
	fresh := e.kind.named("fresh")
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"}}
	t := e.s.Txn()
	t.Create(fresh)
	t.Create(cm)
	t.Update(changed)
	t.Delete(gone, store.DeleteOptions{})
	equal(e.t, "length", t.Len(), 4)
	rev := e.done(t.Commit(e.t.Context()))
	equal(e.t, "revision", rev, e.revision())
	for _, obj := range []store.Object{fresh, cm, changed, gone} {
		e.at(obj, rev)
	}
	e.same(e.get("fresh"), fresh)
	e.same(e.get("changed"), changed)
	e.gone("gone")
	if _, err := t.Commit(e.t.Context()); err == nil {
		e.t.Fatal("it was committed twice")
	}
	equal(e.t, "revision of an empty one", e.done(e.s.Txn().Commit(e.t.Context())), 0)
}

func txnNothing[T store.Object](e *env[T]) {
	stale, other := e.created("a"), e.created("b")
	now := e.get("a")
	*e.kind.spec(now) = 3
	e.done(e.s.Update(e.t.Context(), now))
	*e.kind.spec(other) = 4
	for _, bad := range []struct {
		is    func(error) bool
		spoil func(*store.Txn)
	}{
		{isConflict, func(t *store.Txn) { t.Update(stale) }},
		{isTaken, func(t *store.Txn) { t.Create(e.kind.named("a")) }},
		{isNotFound, func(t *store.Txn) { t.Delete(e.kind.named("none"), store.DeleteOptions{}) }},
	} {
		e.refuses(e.commit(func(t *store.Txn, obj store.Object) {
			t.Create(e.kind.named("fresh"))
			t.Update(obj)
			bad.spoil(t)
		}), other, bad.is)
	}
	e.gone("fresh")
}

func txnConditions[T store.Object](e *env[T]) {
	relied := e.created("relied")
	obj := e.created("a")
	add := func(t *store.Txn, obj store.Object) {
		t.Unchanged(relied)
		t.Absent(e.kind.named("absent"))
		t.Update(obj)
	}
	*e.kind.spec(obj) = 2
	e.done(e.commit(add)(e.t.Context(), obj))
	*e.kind.spec(obj) = 3
	e.created("absent")
	e.refuses(e.commit(add), obj, isTaken)
	e.done(e.s.Delete(e.t.Context(), e.kind.named("absent"), store.DeleteOptions{}))
	now := e.get("relied")
	*e.kind.spec(now) = 9
	e.done(e.s.Update(e.t.Context(), now))
	e.refuses(e.commit(add), obj, isConflict)
	e.done(e.s.Delete(e.t.Context(), now, store.DeleteOptions{}))
	e.refuses(e.commit(add), obj, isNotFound)
	e.refuses(e.commit(func(t *store.Txn, obj store.Object) { t.Unchanged(obj) }), e.kind.named("a"), isBadRequest)
}

func txnRange[T store.Object](e *env[T]) {
	obj := e.created("a")
	*e.kind.spec(obj) = 2
	since := e.revision()
	add := func(t *store.Txn, obj store.Object) {
		t.Update(obj)
		t.UnchangedSince(since, obj, "default")
	}
	e.created("appeared")
	e.refuses(e.commit(add), obj, isConflict)
	e.done(e.s.Delete(e.t.Context(), e.kind.named("appeared"), store.DeleteOptions{}))
	e.done(e.commit(add)(e.t.Context(), obj))
	*e.kind.spec(obj) = 3
	e.refuses(e.commit(add), obj, isConflict)
}

func txnSplit[T store.Object](e *env[T]) {
	const many = 2*store.MaxTxnOps + 1
	last := e.created("last")
	*e.kind.spec(last) = many
	t := e.s.Txn()
	t.AllowSplit(last)
	t.Update(last)
	for i := range many {
		t.Create(e.kind.named(fmt.Sprintf("a%d", i)))
	}
	before := e.revision()
	rev := e.done(t.Commit(e.t.Context()))
	equal(e.t, "revision", rev, before+3)
	e.at(last, rev)
	e.same(e.get("last"), last)
	e.get(fmt.Sprintf("a%d", many-1))
}

func txnNoChange[T store.Object](e *env[T]) {
	a, b := e.created("a"), e.created("b")
	before := e.revision()
	t := e.s.Txn()
	t.Update(a)
	t.UpdateStatus(b)
	equal(e.t, "revision", store.FormatRevision(e.done(t.Commit(e.t.Context()))), b.GetResourceVersion())
	e.stillAt(before)
}

func txnTwice[T store.Object](e *env[T]) {
	obj := e.created("a")
	twice := saying(isOther, "already part of the transaction")
	e.refuses(e.commit(func(t *store.Txn, obj store.Object) {
		t.Update(obj)
		t.Update(obj.DeepCopyObject().(store.Object))
	}), obj, twice)
	e.refuses(e.commit(func(t *store.Txn, obj store.Object) {
		t.Update(obj)
		t.Delete(obj, store.DeleteOptions{})
	}), obj, twice)
}

func txnTooLarge[T store.Object](e *env[T]) {
	full := func(n int) write {
		return e.commit(func(t *store.Txn, _ store.Object) {
			for i := range n {
				t.Create(e.kind.named(fmt.Sprintf("a%d", i)))
			}
		})
	}
	e.refuses(full(store.MaxTxnOps+1), e.kind.named("none"), isTooLarge)
	e.done(full(store.MaxTxnOps)(e.t.Context(), e.kind.named("none")))
}

// txnSum moves amounts between two objects, concurrently.
func txnSum[T store.Object](e *env[T]) {
	const sum = 100
	e.created("a", func(obj T) { *e.kind.spec(obj) = sum })
	e.created("b")
	for _, err := range together(8, func(i int) error { return e.move(int32(i)) }) {
		e.must(err)
	}
	equal(e.t, "sum", *e.kind.spec(e.get("a"))+*e.kind.spec(e.get("b")), sum)
	equal(e.t, "moved", *e.kind.spec(e.get("b")), 28)
}

// move moves an amount from a to b. It tries until it succeeds.
func (e *env[T]) move(amount int32) error {
	for {
		a, err := store.Get[T](e.t.Context(), e.s, key("a"))
		if err != nil {
			return err
		}
		b, err := store.Get[T](e.t.Context(), e.s, key("b"))
		if err != nil {
			return err
		}
		*e.kind.spec(a) -= amount
		*e.kind.spec(b) += amount
		t := e.s.Txn()
		t.Update(a)
		t.Update(b)
		if _, err = t.Commit(e.t.Context()); !isConflict(err) {
			return err
		}
	}
}
