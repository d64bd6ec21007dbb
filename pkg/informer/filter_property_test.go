package informer

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/store"
)

type (
	mapFilter = Filter[*corev1.ConfigMap]
	mapEvent  = Event[*corev1.ConfigMap]
	mapState  = map[string]*entry
)

// reference says, in the plainest way, whether a filter holds for one side of
// a change. It panics where a leaf does.
type reference func(old, new, at *corev1.ConfigMap) bool

// holds is what a filter is to make of the reference.
func (r reference) holds(old, new, at *corev1.ConfigMap) (holds bool) {
	defer func() {
		if recover() != nil {
			holds = true
		}
	}()
	return at != nil && r(old, new, at)
}

func number(cm *corev1.ConfigMap) int {
	if cm == nil {
		return -1
	}
	n, _ := strconv.Atoi(cm.Data["n"])
	return n
}

// world is a replica without an etcd, whose objects change at random.
type world struct {
	*testing.T
	*rand.Rand
	seed uint64

	reflector *reflector
	maps      *Informer[*corev1.ConfigMap]
	now       mapState
	revision  int64
	history   map[int64]mapState // the newest that was at each revision
	made      int
}

func newWorld(t *testing.T, s *store.Store, seed uint64) *world {
	r := NewReplica(s, Options{})
	maps, err := For[*corev1.ConfigMap](r)
	if err != nil {
		t.Fatal(err)
	}
	(&reflector{Replica: r}).replace(r.kindLists(), 1, false)
	return &world{
		T: t, Rand: rand.New(rand.NewPCG(seed, 1)), seed: seed,
		reflector: &reflector{Replica: r}, maps: maps,
		now: mapState{}, revision: 1, history: map[int64]mapState{1: {}},
	}
}

func (w *world) failf(format string, args ...any) {
	w.Helper()
	w.Fatalf("seed %d, revision %d: "+format, append([]any{w.seed, w.revision}, args...)...)
}

// objectFilter returns a random leaf or tree of leaves about objects.
func (w *world) objectFilter(depth int) (mapFilter, reference) {
	if depth > 0 && w.IntN(3) > 0 {
		return w.composed(func() (mapFilter, reference) { return w.objectFilter(depth - 1) })
	}
	switch w.IntN(4) {
	case 0:
		f, err := KeyGlob[*corev1.ConfigMap]("a/[xy]*")
		if err != nil {
			w.Fatal(err)
		}
		return f, func(_, _, at *corev1.ConfigMap) bool { return at.Namespace == "a" && at.Name != "z" }
	case 1:
		return LabelSelector[*corev1.ConfigMap](labels.SelectorFromSet(labels.Set{"color": "red"})),
			func(_, _, at *corev1.ConfigMap) bool { return at.Labels["color"] == "red" }
	case 2:
		even := func(cm *corev1.ConfigMap) bool { return number(cm)%2 == 0 }
		return Where(even), func(_, _, at *corev1.ConfigMap) bool { return even(at) }
	}
	fails := func(cm *corev1.ConfigMap) (bool, error) {
		switch number(cm) {
		case 3:
			panic("three")
		case 4:
			return false, fmt.Errorf("four")
		}
		return number(cm) < 2, nil
	}
	return TryWhere(fails), func(_, _, at *corev1.ConfigMap) bool {
		ok, err := fails(at)
		if err != nil {
			panic(err)
		}
		return ok
	}
}

// anyFilter returns a random filter that may have leaves about changes too.
func (w *world) anyFilter(depth int) (mapFilter, reference) {
	if depth > 0 && w.IntN(3) > 0 {
		return w.composed(func() (mapFilter, reference) { return w.anyFilter(depth - 1) })
	}
	switch w.IntN(4) {
	case 0:
		return Operations[*corev1.ConfigMap](Create, Delete), func(old, new, _ *corev1.ConfigMap) bool { return old == nil || new == nil }
	case 1:
		return Operations[*corev1.ConfigMap](Update), func(old, new, _ *corev1.ConfigMap) bool { return old != nil && new != nil }
	case 2:
		grows := func(old, new *corev1.ConfigMap) bool { return number(new) > number(old) }
		return Transition(grows), func(old, new, _ *corev1.ConfigMap) bool { return grows(old, new) }
	}
	return w.objectFilter(0)
}

func (w *world) composed(part func() (mapFilter, reference)) (mapFilter, reference) {
	f, rf := part()
	g, rg := part()
	switch w.IntN(3) {
	case 0:
		return And(f, g), func(old, new, at *corev1.ConfigMap) bool { return rf(old, new, at) && rg(old, new, at) }
	case 1:
		return Or(f, g), func(old, new, at *corev1.ConfigMap) bool { return rf(old, new, at) || rg(old, new, at) }
	}
	return Not(f), func(old, new, at *corev1.ConfigMap) bool { return !rf(old, new, at) }
}

// change changes an object, or makes or deletes one.
func (w *world) change() change {
	w.revision++
	namespace, name := string("ab"[w.IntN(2)]), string("xyz"[w.IntN(3)])
	c := change{kind: w.maps.kind, key: namespace + "/" + name, old: w.now[namespace+"/"+name], revision: w.revision}
	if c.old != nil && w.IntN(3) == 0 {
		delete(w.now, c.key)
		return c
	}
	cm := &corev1.ConfigMap{}
	cm.Namespace, cm.Name, cm.ResourceVersion = namespace, name, store.FormatRevision(w.revision)
	cm.Data = map[string]string{"n": strconv.Itoa(w.IntN(5))}
	cm.Labels = map[string]string{"color": []string{"red", "blue"}[w.IntN(2)]}
	if w.made++; c.old != nil {
		cm.UID = c.old.obj.GetUID()
	} else {
		cm.UID = types.UID(fmt.Sprint(w.made))
	}
	c.new = &entry{key: c.key, obj: cm, rev: w.revision, sum: uint64(w.made)}
	w.now[c.key] = c.new
	return c
}

// respond has the replica take in some changes as one response of a watch.
func (w *world) respond() []change {
	var changes []change
	for range 1 + w.IntN(4) {
		changes = append(changes, w.change())
	}
	b := &batch{reflector: w.reflector, changes: slices.Clone(changes), touched: map[*kind]bool{w.maps.kind: true}}
	b.commit(w.revision)
	w.history[w.revision] = maps.Clone(w.now)
	return changes
}

// relist has it miss some, and list.
func (w *world) relist() []change {
	before := maps.Clone(w.now)
	for range w.IntN(12) {
		w.change()
	}
	return w.list(before)
}

// restore has an etcd that was restored listed.
func (w *world) restore() []change {
	revisions := slices.Sorted(maps.Keys(w.history))
	before := w.now
	w.revision = revisions[w.IntN(len(revisions))]
	w.now = maps.Clone(w.history[w.revision])
	return w.list(before)
}

func (w *world) list(before mapState) []change {
	lists := w.reflector.kindLists()
	var all []*entry
	var changes []change
	for _, key := range slices.Sorted(maps.Keys(w.now)) {
		all = append(all, w.now[key])
	}
	for key := range maps.Keys(w.now) {
		if before[key] != w.now[key] {
			changes = append(changes, change{w.maps.kind, key, before[key], w.now[key], w.now[key].rev})
		}
	}
	for key, old := range before {
		if w.now[key] == nil {
			changes = append(changes, change{w.maps.kind, key, old, nil, w.revision})
		}
	}
	lists[0].chunks = [][]*entry{all}
	w.reflector.replace(lists, w.revision, true)
	w.history[w.revision] = maps.Clone(w.now)
	return changes
}

// step lets something happen, and returns what the replica saw change.
func (w *world) step() []change {
	switch w.IntN(12) {
	case 0:
		return w.relist()
	case 1:
		return w.restore()
	}
	return w.respond()
}

// expected is what passes a filter of a state.
func (w *world) expected(r reference, s mapState) map[string]*corev1.ConfigMap {
	passes := map[string]*corev1.ConfigMap{}
	for key, e := range s {
		if cm := e.obj.(*corev1.ConfigMap); r.holds(cm, cm, cm) {
			passes[key] = cm
		}
	}
	return passes
}

// view is what a handler knows from what it was told.
type view struct {
	*world
	known map[string]*corev1.ConfigMap
	calls int
}

func (v *view) learn(e mapEvent) {
	v.Helper()
	v.calls++
	key := store.KeyOf(e.Object).String()
	known := v.known[key]
	switch {
	case e.Type == store.Added && known != nil:
		v.failf("%s added, but it was known", key)
	case e.Type == store.Modified && (known == nil || e.Old != known || e.Old.UID != e.Object.UID):
		v.failf("%s modified from %v, told was %v", key, e.Old, known)
	case e.Type == store.Deleted && (known == nil || e.Object != known):
		v.failf("%s deleted as %v, told was %v", key, e.Object, known)
	}
	if v.known[key] = e.Object; e.Type == store.Deleted {
		delete(v.known, key)
	}
}

func (v *view) mustBe(want map[string]*corev1.ConfigMap) {
	v.Helper()
	if !maps.Equal(v.known, want) {
		v.failf("the handler knows %v, there are %v", slices.Sorted(maps.Keys(v.known)), slices.Sorted(maps.Keys(want)))
	}
}

// told has a listener tell some of what waits.
func (l *listener) told(most int) {
	for range most {
		if l.pending() == 0 {
			return
		}
		if l.batch != nil {
			l.stepBatch(context.Background())
		} else {
			l.step(context.Background())
		}
	}
}

func (w *world) wander(l *listener) {
	for range w.IntN(120) {
		w.step()
		l.told(w.IntN(5))
	}
	l.told(1 << 20)
}

const seeds = 1000

// A handler with a filter about objects knows at the end what passes it.
func TestFilteredHandlerKnowsWhatPasses(t *testing.T) {
	r, _ := offline(t)
	calls := 0
	for seed := range uint64(seeds) {
		w := newWorld(t, r.store, seed)
		v := &view{world: w, known: map[string]*corev1.ConfigMap{}}
		f, ref := w.objectFilter(3)
		for range w.IntN(10) {
			w.step()
		}
		l := w.maps.AddHandler(func(_ context.Context, e mapEvent) { v.learn(e) }, f).listener
		l.backlog = newBacklog(w.IntN(8))
		w.wander(l)
		v.mustBe(w.expected(ref, w.now))
		calls += v.calls
	}
	if calls < 10*seeds {
		t.Errorf("handlers were called %d times only", calls)
	}
}

// Any filter passes exactly the changes, and the sides of them, that its
// definition says.
func TestFilterPassesWhatItIsDefinedTo(t *testing.T) {
	r, _ := offline(t)
	calls := 0
	for seed := range uint64(seeds) {
		w := newWorld(t, r.store, seed)
		f, ref := w.anyFilter(3)
		g, refG := w.anyFilter(1)
		var got, want []string
		l := w.maps.AddHandler(func(_ context.Context, e mapEvent) { got = append(got, describe(e)) }, f, g).listener
		both := func(old, new, at *corev1.ConfigMap) bool { return ref(old, new, at) && refG(old, new, at) }
		for range w.IntN(60) {
			for _, c := range w.step() {
				want = append(want, w.defined(both, c)...)
			}
		}
		l.told(1 << 20)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			w.failf("told was\n%q\nwant\n%q", got, want)
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

// defined is what is to be told of a change.
func (w *world) defined(ref reference, c change) (told []string) {
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

// A batch leaves its handler with what passes at the batch's revision, whenever
// it is told.
func TestBatchesAreTheDifferenceBetweenRevisions(t *testing.T) {
	r, _ := offline(t)
	batches := 0
	for seed := range uint64(seeds) {
		w := newWorld(t, r.store, seed)
		v := &view{world: w, known: map[string]*corev1.ConfigMap{}}
		f, ref := w.objectFilter(3)
		for range w.IntN(10) {
			w.step()
		}
		first := true
		l := w.maps.AddBatchHandler(Window{}, func(_ context.Context, b Batch[*corev1.ConfigMap]) {
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
		}, f).listener
		l.stepBatch(t.Context())
		w.wander(l)
		v.mustBe(w.expected(ref, w.now))
	}
	if batches < 5*seeds {
		t.Errorf("there were %d batches only", batches)
	}
}
