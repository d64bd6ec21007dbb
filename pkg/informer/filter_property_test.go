package informer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/store"
)

// expected returns the part of a state that passes a filter.
func (w *world) expected(r reference, s mapState) map[string]*corev1.ConfigMap {
	passes := map[string]*corev1.ConfigMap{}
	for key, e := range s {
		if cm := e.obj.(*corev1.ConfigMap); r.holds(cm, cm, cm) {
			passes[key] = cm
		}
	}
	return passes
}

// view is the state that a handler knows from the events that it received.
type view struct {
	world *world
	known map[string]*corev1.ConfigMap
	calls int
}

func (v *view) learn(e mapEvent) {
	v.world.t.Helper()
	v.calls++
	key := store.KeyOf(e.Object).String()
	known := v.known[key]
	switch {
	case e.Type == store.Added && known != nil:
		v.world.failf("%s added, but it was known", key)
	case e.Type == store.Modified && (known == nil || e.Old != known || e.Old.UID != e.Object.UID):
		v.world.failf("%s modified from %v, want the received %v", key, e.Old, known)
	case e.Type == store.Deleted && (known == nil || e.Object != known):
		v.world.failf("%s deleted as %v, want the received %v", key, e.Object, known)
	}
	if v.known[key] = e.Object; e.Type == store.Deleted {
		delete(v.known, key)
	}
}

func (v *view) mustBe(want map[string]*corev1.ConfigMap) {
	v.world.t.Helper()
	if !maps.Equal(v.known, want) {
		v.world.failf("the handler knows %v, there are %v", slices.Sorted(maps.Keys(v.known)), slices.Sorted(maps.Keys(want)))
	}
}

// received delivers at most so many queued changes.
func (q *handlerQueue) received(most int) {
	for range most {
		if q.pending() == 0 {
			return
		}
		if q.debouncer != nil {
			q.deliverNextBatch(context.Background())
		} else {
			q.deliverNext(context.Background())
		}
	}
}

func (w *world) wander(q *handlerQueue) {
	for range w.dice.IntN(120) {
		w.step()
		q.received(w.dice.IntN(5))
	}
	q.received(1 << 20)
}

const seeds = 1000

// A handler with a filter on objects knows, at the end, exactly the matching
// objects.
func TestFilteredHandlerKnowsTheMatchingObjects(t *testing.T) {
	r, _ := offline(t)
	calls := 0
	for seed := range uint64(seeds) {
		w := newWorld(t, r.store, seed)
		v := &view{world: w, known: map[string]*corev1.ConfigMap{}}
		f, ref := w.objectFilter(3)
		for range w.dice.IntN(10) {
			w.step()
		}
		q := w.maps.AddHandler(func(_ context.Context, e mapEvent) { v.learn(e) }, f).queue
		q.backlog = newBacklog(w.dice.IntN(8), backlogBytes)
		w.wander(q)
		v.mustBe(w.expected(ref, w.now))
		calls += v.calls
	}
	if calls < 10*seeds {
		t.Errorf("handlers were called %d times only", calls)
	}
}

// Any filter passes exactly the changes that its definition says, with the
// objects before and after that it says.
func TestFilterPassesWhatItsDefinitionSays(t *testing.T) {
	r, _ := offline(t)
	calls := 0
	for seed := range uint64(seeds) {
		w := newWorld(t, r.store, seed)
		f, ref := w.anyFilter(3)
		g, refG := w.anyFilter(1)
		var got, want []string
		q := w.maps.AddHandler(func(_ context.Context, e mapEvent) { got = append(got, describe(e)) }, f, g).queue
		both := func(old, new, at *corev1.ConfigMap) bool { return ref(old, new, at) && refG(old, new, at) }
		for range w.dice.IntN(60) {
			for _, c := range w.step() {
				want = append(want, w.defined(both, c)...)
			}
		}
		q.received(1 << 20)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			w.failf("received\n%q\nwant\n%q", got, want)
		}
		calls += len(got)
	}
	if calls < 10*seeds {
		t.Errorf("handlers were called %d times only", calls)
	}
}

func describe(e mapEvent) string {
	s := fmt.Sprintf("%d %s %s %s", e.Revision, e.Type, store.KeyOf(e.Object), e.Object.ResourceVersion)
	if e.Old != nil {
		s += " after " + e.Old.ResourceVersion
	}
	return s
}

// defined returns what a handler must receive of a change.
func (w *world) defined(ref reference, c change) (received []string) {
	if c.old != nil && c.new != nil && c.old.obj.GetUID() != c.new.obj.GetUID() {
		gone, come := c, c
		gone.new, come.old = nil, nil
		return append(w.defined(ref, gone), w.defined(ref, come)...)
	}
	var old, new *corev1.ConfigMap
	if c.old != nil {
		old = c.old.obj.(*corev1.ConfigMap)
	}
	if c.new != nil {
		new = c.new.obj.(*corev1.ConfigMap)
	}
	was, is := reference(ref).holds(old, new, old), reference(ref).holds(old, new, new)
	e := mapEvent{Revision: c.revision, Type: store.Added, Object: new}
	switch {
	case !was && !is:
		return nil
	case was && is:
		e.Type, e.Old = store.Modified, old
	case was:
		e.Type, e.Object = store.Deleted, old
	}
	return []string{describe(e)}
}

// After each batch, whenever it is delivered, its handler knows the objects that
// match at the batch's revision.
func TestBatchesAreTheDifferenceBetweenRevisions(t *testing.T) {
	r, _ := offline(t)
	batches := 0
	for seed := range uint64(seeds) {
		w := newWorld(t, r.store, seed)
		v := &view{world: w, known: map[string]*corev1.ConfigMap{}}
		f, ref := w.objectFilter(3)
		for range w.dice.IntN(10) {
			w.step()
		}
		first := true
		q := w.maps.AddBatchHandler(Debounce{}, func(_ context.Context, b Batch[*corev1.ConfigMap]) {
			if b.Initial != first || !b.Initial && len(b.Events) == 0 {
				w.failf("a batch of %d events, initial: %v", len(b.Events), b.Initial)
			}
			first = false
			last := map[string]store.EventType{}
			for _, e := range b.Events {
				key := store.KeyOf(e.Object).String()
				if before, twice := last[key]; twice && (before != store.Deleted || e.Type != store.Added) {
					w.failf("%s is %s and then %s in one batch", key, before, e.Type)
				}
				if last[key] = e.Type; e.Initial != b.Initial || e.Old == e.Object {
					w.failf("%s is %s, initial: %v, from %v to %v", key, e.Type, e.Initial, e.Old, e.Object)
				}
				v.learn(e)
			}
			v.mustBe(w.expected(ref, w.history[b.Revision]))
			batches++
		}, f).queue
		q.deliverNextBatch(t.Context())
		w.wander(q)
		v.mustBe(w.expected(ref, w.now))
	}
	if batches < 5*seeds {
		t.Errorf("there were %d batches only", batches)
	}
}
