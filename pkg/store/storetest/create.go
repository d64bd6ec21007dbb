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
		{"create refuses a name that is taken", createRefusesTaken[T]},
		{"one of many creators of a name wins", createOneWins[T]},
		{"a name that was deleted is free again", createAgain[T]},
		{"generateName makes up names of its own", createGenerates[T]},
		{"generateName gives way to a name", createPrefersName[T]},
	}
}

func createFillsIn[T store.Object](e *env[T]) {
	obj := e.sized("a", 3)
	rev := e.done(e.s.Create(e.Context(), obj))
	e.at(obj, rev)
	equal(e, "revision", rev, e.revision())
	equal(e, "generation", obj.GetGeneration(), 1)
	if obj.GetUID() == "" || obj.GetCreationTimestamp().Time.IsZero() {
		e.Fatalf("uid %q, creationTimestamp %v", obj.GetUID(), obj.GetCreationTimestamp())
	}
	known, err := e.s.KindOf(obj)
	e.must(err)
	equal(e, "kind", obj.GetObjectKind().GroupVersionKind(), known.GroupVersionKind)
	e.interrupt()
	e.same(e.get("a"), obj)
	equal(e, "the spec's number", *e.spec(e.get("a")), 3)
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
		e.Fatalf("the caller's word was taken: %+v", obj)
	}
	equal(e, "generation", obj.GetGeneration(), 1)
}

func createDropsStatus[T store.Object](e *env[T]) {
	obj := e.created("a", func(obj T) { *e.status(obj) = 3 })
	equal(e, "status returned", *e.status(obj), 0)
	equal(e, "status stored", *e.status(e.get("a")), 0)
}

func createRefusesRevision[T store.Object](e *env[T]) {
	obj := e.named("a")
	obj.SetResourceVersion("5")
	e.refuses(e.s.Create, obj, isBadRequest)
}

func createRefusesTaken[T store.Object](e *env[T]) {
	first := e.created("a")
	e.refuses(e.s.Create, e.sized("a", 3), isTaken)
	e.same(e.get("a"), first)
}

func createOneWins[T store.Object](e *env[T]) {
	e.created("other")
	won := 0
	for _, err := range together(16, func(int) error {
		_, err := e.s.Create(e.Context(), e.named("a"))
		return err
	}) {
		if err == nil {
			won++
		} else {
			e.want(err, isTaken)
		}
	}
	equal(e, "winners", won, 1)
}

func createAgain[T store.Object](e *env[T]) {
	first := e.created("a")
	e.done(e.s.Delete(e.Context(), first.DeepCopyObject().(T)))
	second := e.created("a")
	if first.GetUID() == second.GetUID() {
		e.Fatal("both have the same uid")
	}
}

// createGenerates has many more creators of one prefix than tries to find out
// that a name is taken.
func createGenerates[T store.Object](e *env[T]) {
	names := make(chan string, 40)
	for _, err := range together(cap(names), func(int) error {
		obj := e.named("")
		obj.SetGenerateName("a-")
		_, err := e.s.Create(e.Context(), obj)
		names <- obj.GetName()
		return err
	}) {
		e.must(err)
	}
	different := sets.New[string]()
	for range cap(names) {
		name := <-names
		if !strings.HasPrefix(name, "a-") || len(name) != len("a-")+5 {
			e.Fatalf("name %q", name)
		}
		different.Insert(name)
		equal(e, "generateName", e.get(name).GetGenerateName(), "a-")
	}
	equal(e, "different names", len(different), cap(names))
}

func createPrefersName[T store.Object](e *env[T]) {
	obj := e.created("a", func(obj T) { obj.SetGenerateName("b-") })
	equal(e, "name", obj.GetName(), "a")
}
