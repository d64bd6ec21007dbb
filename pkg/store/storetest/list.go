package storetest

import (
	"fmt"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/store"
)

func listRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"a list returns every object once, in order, as stored", listAll[T]},
		{"a list without objects is empty, not nil", listEmpty[T]},
		{"a list can be limited to a namespace and a selector", listSelects[T]},
		{"a list at an earlier revision shows that revision", listEarlier[T]},
		{"a list at a compacted revision has expired", listCompacted[T]},
		{"a list at a future revision is refused", listFuture[T]},
		{"a list shows each transaction whole or not at all", listWhole[T]},
	}
}

func (e *env[T]) list(o store.ListOptions) store.ListResult[T] {
	e.t.Helper()
	list, err := store.List[T](e.t.Context(), e.s, o)
	e.must(err)
	return list
}

func names[T store.Object](objs []T) string {
	var all []string
	for _, obj := range objs {
		all = append(all, obj.GetNamespace()+"/"+obj.GetName())
	}
	return strings.Join(all, " ")
}

func listAll[T store.Object](e *env[T]) {
	objs := map[string]T{}
	for _, name := range []string{"b", "a", "c-1", "c"} {
		objs[name] = e.created(name)
	}
	other := e.kind.named("a")
	other.SetNamespace("another")
	e.done(e.s.Create(e.t.Context(), other))
	list := e.list(store.ListOptions{})
	equal(e.t, "revision", list.Revision, e.revision())
	equal(e.t, "names", names(list.Items), "another/a default/a default/b default/c default/c-1")
	for _, obj := range list.Items[1:] {
		e.same(obj, objs[obj.GetName()])
	}
}

func listEmpty[T store.Object](e *env[T]) {
	list := e.list(store.ListOptions{})
	if list.Items == nil || len(list.Items) > 0 {
		e.t.Fatalf("items %v", list.Items)
	}
	equal(e.t, "revision", list.Revision, e.revision())
}

func listSelects[T store.Object](e *env[T]) {
	for i, ns := range []string{"default", "default", "defaults"} {
		obj := e.kind.named(fmt.Sprintf("a%d", i))
		obj.SetNamespace(ns)
		obj.SetLabels(map[string]string{"odd": fmt.Sprint(i % 2)})
		e.done(e.s.Create(e.t.Context(), obj))
	}
	e.interrupt()
	odd := labels.SelectorFromSet(labels.Set{"odd": "0"})
	equal(e.t, "by namespace", names(e.list(store.ListOptions{Namespace: "default"}).Items), "default/a0 default/a1")
	equal(e.t, "by selector", names(e.list(store.ListOptions{Selector: odd}).Items), "default/a0 defaults/a2")
	equal(e.t, "by both", names(e.list(store.ListOptions{Namespace: "default", Selector: odd}).Items), "default/a0")
	equal(e.t, "of another namespace", len(e.list(store.ListOptions{Namespace: "none"}).Items), 0)
}

func listEarlier[T store.Object](e *env[T]) {
	obj := e.created("a", func(obj T) { *e.kind.spec(obj) = 1 })
	gone := e.created("b")
	then := e.revision()
	*e.kind.spec(obj) = 2
	e.done(e.s.Update(e.t.Context(), obj))
	e.done(e.s.Delete(e.t.Context(), gone, store.DeleteOptions{}))
	list := e.list(store.ListOptions{Revision: then})
	equal(e.t, "revision", list.Revision, then)
	equal(e.t, "names", names(list.Items), "default/a default/b")
	equal(e.t, "spec", *e.kind.spec(list.Items[0]), 1)
}

func (e *env[T]) compact(revision int64) {
	e.t.Helper()
	_, err := e.s.Client().Compact(e.t.Context(), revision, clientv3.WithCompactPhysical())
	e.must(err)
}

func listCompacted[T store.Object](e *env[T]) {
	e.created("a")
	then := e.revision()
	e.created("b")
	e.compact(e.revision())
	_, err := store.List[T](e.t.Context(), e.s, store.ListOptions{Revision: then})
	e.want(err, isExpired)
	equal(e.t, "names at the newest", names(e.list(store.ListOptions{}).Items), "default/a default/b")
}

func listFuture[T store.Object](e *env[T]) {
	e.created("a")
	_, err := store.List[T](e.t.Context(), e.s, store.ListOptions{Revision: e.revision() + 1000})
	e.want(err, saying(isOther, "too large resource version"))
}

// listWhole lists while transactions move amounts between two objects.
func listWhole[T store.Object](e *env[T]) {
	e.created("a", func(obj T) { *e.kind.spec(obj) = 100 })
	e.created("b")
	moved := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < 25 && err == nil; i++ {
			err = e.move(1)
		}
		moved <- err
	}()
	for over := false; !over; {
		select {
		case err := <-moved:
			e.must(err)
			over = true
		default:
		}
		items := e.list(store.ListOptions{}).Items
		sum := int32(0)
		for obj := range slices.Values(items) {
			sum += *e.kind.spec(obj)
		}
		equal(e.t, "sum", sum, 100)
	}
}
