package storetest

import (
	"errors"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/store"
)

func mutateRules[T store.Object]() []rule[T] {
	return []rule[T]{
		{"mutate writes spec, status and metadata at one revision", mutateWrites[T]},
		{"mutate starts again after a concurrent write", mutateAgain[T]},
		{"mutate writes nothing when its function fails or changes nothing", mutateNothing[T]},
		{"mutate refuses another identity", mutateIdentity[T]},
		{"many writers at once lose no update", mutateMany[T]},
		{"an interruption loses no update that was acknowledged", mutateInterrupted[T]},
	}
}

func (e *env[T]) increment(obj T) error {
	*e.kind.spec(obj)++
	*e.kind.status(obj)++
	return nil
}

func mutateWrites[T store.Object](e *env[T]) {
	e.created("a")
	obj, rev, err := store.Mutate(e.t.Context(), e.s, key("a"), func(obj T) error {
		obj.SetLabels(map[string]string{"a": "b"})
		return e.increment(obj)
	})
	e.must(err)
	e.at(obj, rev)
	e.same(e.get("a"), obj)
	equal(e.t, "label", obj.GetLabels()["a"], "b")
	equal(e.t, "spec", *e.kind.spec(obj), 1)
	equal(e.t, "status", *e.kind.status(obj), 1)
	_, _, err = store.Mutate(e.t.Context(), e.s, key("none"), e.increment)
	e.want(err, isNotFound)
}

func mutateAgain[T store.Object](e *env[T]) {
	e.created("a")
	runs := 0
	obj, _, err := store.Mutate(e.t.Context(), e.s, key("a"), func(obj T) error {
		if runs++; runs < 4 {
			other := e.get("a")
			e.must(e.increment(other))
			e.done(e.s.Update(e.t.Context(), other))
		}
		return e.increment(obj)
	})
	e.must(err)
	equal(e.t, "runs", runs, 4)
	equal(e.t, "spec", *e.kind.spec(obj), 4)
	e.same(e.get("a"), obj)
}

func mutateNothing[T store.Object](e *env[T]) {
	obj := e.created("a")
	before := e.revision()
	stop := errors.New("stop")
	_, _, err := store.Mutate(e.t.Context(), e.s, key("a"), func(obj T) error { return errors.Join(e.increment(obj), stop) })
	if !errors.Is(err, stop) {
		e.t.Fatalf("the error is %v", err)
	}
	same, rev, err := store.Mutate(e.t.Context(), e.s, key("a"), func(T) error { return nil })
	e.must(err)
	e.at(obj, rev)
	e.same(same, obj)
	e.stillAt(before)
}

func mutateIdentity[T store.Object](e *env[T]) {
	e.created("a")
	before := e.revision()
	for _, change := range []func(T){
		func(obj T) { obj.SetName("b") },
		func(obj T) { obj.SetNamespace("b") },
		func(obj T) { obj.SetUID("b") },
		func(obj T) { obj.SetResourceVersion("1") },
	} {
		_, _, err := store.Mutate(e.t.Context(), e.s, key("a"), func(obj T) error {
			change(obj)
			return nil
		})
		e.want(err, isBadRequest)
	}
	e.stillAt(before)
}

func mutateMany[T store.Object](e *env[T]) {
	e.created("a")
	const writers = 16
	for _, err := range together(writers, func(int) error {
		_, _, err := store.Mutate(e.t.Context(), e.s, key("a"), e.increment)
		return err
	}) {
		e.must(err)
	}
	obj := e.get("a")
	equal(e.t, "spec", *e.kind.spec(obj), writers)
	equal(e.t, "status", *e.kind.status(obj), writers)
	equal(e.t, "generation", obj.GetGeneration(), writers+1)
}

// mutateInterrupted counts increments: one that was acknowledged has happened once, one that
// failed has not happened, and one with an unknown outcome may have happened.
func mutateInterrupted[T store.Object](e *env[T]) {
	e.created("a")
	const writers, each = 4, 12
	half := make(chan struct{}, writers*each)
	acknowledged, unknown := make([]int, writers), make([]int, writers)
	finished := make(chan []error)
	go func() {
		finished <- together(writers, func(i int) error {
			for range each {
				if err := e.incrementOnce(&acknowledged[i], &unknown[i]); err != nil {
					return err
				}
				half <- struct{}{}
			}
			return nil
		})
	}()
	for range writers * each / 2 {
		<-half
	}
	e.interrupt()
	for _, err := range <-finished {
		e.must(err)
	}
	least, most := 0, 0
	for i := range writers {
		least += acknowledged[i]
		most += acknowledged[i] + unknown[i]
	}
	if n := int(*e.kind.spec(e.get("a"))); n < least || n > most {
		e.t.Fatalf("the number is %d after %d updates that were acknowledged and %d of unknown outcome", n, least, most-least)
	}
}

// incrementOnce tries until the outcome is known.
func (e *env[T]) incrementOnce(acknowledged, unknown *int) error {
	for {
		_, _, err := store.Mutate(e.t.Context(), e.s, key("a"), e.increment)
		switch {
		case err == nil:
			*acknowledged++
		case store.IsUnknownOutcome(err):
			*unknown++
		case etcd.Resumable(err):
			continue
		default:
			return err
		}
		return nil
	}
}
