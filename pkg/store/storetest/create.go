package storetest

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"

	"github.com/homeostat/homeostat/pkg/store"
)

func createRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"create fills in what the store decides", createFillsIn[T]},
		{"create overrides what only the store may set", createOverrides[T]},
		{"create drops the status", createDropsStatus[T]},
		{"create refuses a resourceVersion", createRefusesRevision[T]},
		{"create refuses a name that exists", createRefusesTaken[T]},
		{"one of many creators of a name wins", createOneWins[T]},
		{"a name that was deleted is free again", createAgain[T]},
		{"generateName generates unique names", createGenerates[T]},
		{"a name takes precedence over generateName", createPrefersName[T]},
	}
}

func createFillsIn[T store.Object](e *env[T]) {
	obj := e.kind.sized("a", 3)
	rev := e.done(e.s.Create(e.t.Context(), obj))
	e.at(obj, rev)
	equal(e.t, "revision", rev, e.revision())
	equal(e.t, "generation", obj.GetGeneration(), 1)
	if obj.GetUID() == "" || obj.GetCreationTimestamp().Time.IsZero() {
		e.t.Fatalf("uid %q, creationTimestamp %v", obj.GetUID(), obj.GetCreationTimestamp())
	}
	known, err := e.s.KindOf(obj)
	e.must(err)
	equal(e.t, "kind", obj.GetObjectKind().GroupVersionKind(), known.GroupVersionKind)
	e.interrupt()
	e.same(e.get("a"), obj)
	equal(e.t, "the spec's number", *e.kind.spec(e.get("a")), 3)
}

func createOverrides[T store.Object](e *env[T]) {
	long := metav1.NewTime(time.Unix(1, 0))
	obj := e.created("a", func(obj T) {
		obj.SetUID("mine")
		obj.SetGeneration(7)
		obj.SetCreationTimestamp(long)
		obj.SetDeletionTimestamp(&long)
		obj.SetDeletionGracePeriodSeconds(ptr.To(int64(9)))
	})
	if obj.GetUID() == "mine" || obj.GetCreationTimestamp().Time.Equal(long.Time) || obj.GetDeletionTimestamp() != nil || obj.GetDeletionGracePeriodSeconds() != nil {
		e.t.Fatalf("the caller's word was taken: %+v", obj)
	}
	equal(e.t, "generation", obj.GetGeneration(), 1)
}

func createDropsStatus[T store.Object](e *env[T]) {
	obj := e.created("a", func(obj T) { *e.kind.status(obj) = 3 })
	equal(e.t, "status returned", *e.kind.status(obj), 0)
	equal(e.t, "status stored", *e.kind.status(e.get("a")), 0)
}

func createRefusesRevision[T store.Object](e *env[T]) {
	obj := e.kind.named("a")
	obj.SetResourceVersion("5")
	e.refuses(e.s.Create, obj, isBadRequest)
}

func createRefusesTaken[T store.Object](e *env[T]) {
	first := e.created("a")
	e.refuses(e.s.Create, e.kind.sized("a", 3), isTaken)
	e.same(e.get("a"), first)
}

func createOneWins[T store.Object](e *env[T]) {
	e.created("other")
	won := 0
	for _, err := range together(16, func(int) error {
		_, err := e.s.Create(e.t.Context(), e.kind.named("a"))
		return err
	}) {
		if err == nil {
			won++
		} else {
			e.want(err, isTaken)
		}
	}
	equal(e.t, "winners", won, 1)
}

func createAgain[T store.Object](e *env[T]) {
	first := e.created("a")
	e.done(e.s.Delete(e.t.Context(), first.DeepCopyObject().(T), store.DeleteOptions{}))
	second := e.created("a")
	if first.GetUID() == second.GetUID() {
		e.t.Fatal("both have the same uid")
	}
}

// createGenerates creates many more names with one prefix than a create has attempts to find
// a free name.
func createGenerates[T store.Object](e *env[T]) {
	names := make(chan string, 40)
	for _, err := range together(cap(names), func(int) error {
		obj := e.kind.named("")
		obj.SetGenerateName("a-")
		_, err := e.s.Create(e.t.Context(), obj)
		names <- obj.GetName()
		return err
	}) {
		e.must(err)
	}
	different := sets.New[string]()
	for range cap(names) {
		name := <-names
		if !strings.HasPrefix(name, "a-") || len(name) != len("a-")+5 {
			e.t.Fatalf("name %q", name)
		}
		different.Insert(name)
		equal(e.t, "generateName", e.get(name).GetGenerateName(), "a-")
	}
	equal(e.t, "different names", len(different), cap(names))
}

func createPrefersName[T store.Object](e *env[T]) {
	obj := e.created("a", func(obj T) { obj.SetGenerateName("b-") })
	equal(e.t, "name", obj.GetName(), "a")
}
