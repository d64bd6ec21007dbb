package informer

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/store"
)

type (
	mapFilter = Filter[*corev1.ConfigMap]
	mapEvent  = Event[*corev1.ConfigMap]
	mapState  = map[string]*entry
)

// reference reports, by the simplest code, whether a filter holds for the object
// before or after a change. It panics where a leaf does.
type reference func(old, new, at *corev1.ConfigMap) bool

// holds returns the result that a filter must have, given the reference.
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
	t    *testing.T
	dice *rand.Rand
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
	(&reflector{replica: r}).install(r.kindLists(), 1, epochID{}, false)
	return &world{
		t: t, dice: rand.New(rand.NewPCG(seed, 1)), seed: seed,
		reflector: &reflector{replica: r}, maps: maps,
		now: mapState{}, revision: 1, history: map[int64]mapState{1: {}},
	}
}

func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d, revision %d: "+format, append([]any{w.seed, w.revision}, args...)...)
}

// objectFilter returns a random leaf or tree of leaves about objects.
func (w *world) objectFilter(depth int) (mapFilter, reference) {
	if depth > 0 && w.dice.IntN(3) > 0 {
		return w.composed(func() (mapFilter, reference) { return w.objectFilter(depth - 1) })
	}
	switch w.dice.IntN(4) {
	case 0:
		f, err := KeyGlob[*corev1.ConfigMap]("a/[xy]*")
		if err != nil {
			w.t.Fatal(err)
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
	return Leaf[*corev1.ConfigMap]{Object: fails}.Filter(), func(_, _, at *corev1.ConfigMap) bool {
		ok, err := fails(at)
		if err != nil {
			panic(err)
		}
		return ok
	}
}

// anyFilter returns a random filter that may have leaves about changes too.
func (w *world) anyFilter(depth int) (mapFilter, reference) {
	if depth > 0 && w.dice.IntN(3) > 0 {
		return w.composed(func() (mapFilter, reference) { return w.anyFilter(depth - 1) })
	}
	switch w.dice.IntN(8) {
	case 0:
		return Operations[*corev1.ConfigMap](Create, Delete), func(old, new, _ *corev1.ConfigMap) bool { return old == nil || new == nil }
	case 1:
		return Operations[*corev1.ConfigMap](Update), func(old, new, _ *corev1.ConfigMap) bool { return old != nil && new != nil }
	case 2:
		grows := func(old, new *corev1.ConfigMap) bool { return number(new) > number(old) }
		return Transition(grows), func(old, new, _ *corev1.ConfigMap) bool { return grows(old, new) }
	case 3:
		return GenerationChanged[*corev1.ConfigMap](), updates(func(old, new *corev1.ConfigMap) bool {
			return new.Generation == 0 || new.Generation != old.Generation || (new.DeletionTimestamp == nil) != (old.DeletionTimestamp == nil)
		})
	case 4:
		return LabelsChanged[*corev1.ConfigMap](), updates(func(old, new *corev1.ConfigMap) bool {
			return old.Labels["color"] != new.Labels["color"]
		})
	case 5:
		return AnnotationsChanged[*corev1.ConfigMap](), updates(func(old, new *corev1.ConfigMap) bool {
			return old.Annotations["size"] != new.Annotations["size"]
		})
	case 6:
		return FieldChanged(number), updates(func(old, new *corev1.ConfigMap) bool { return number(old) != number(new) })
	}
	return w.objectFilter(0)
}

// updates returns the definition of a filter that holds for all creations and
// deletions, and for the updates for which changed returns true.
func updates(changed func(old, new *corev1.ConfigMap) bool) reference {
	return func(old, new, _ *corev1.ConfigMap) bool { return old == nil || new == nil || changed(old, new) }
}

func (w *world) composed(part func() (mapFilter, reference)) (mapFilter, reference) {
	f, rf := part()
	g, rg := part()
	switch w.dice.IntN(3) {
	case 0:
		return And(f, g), func(old, new, at *corev1.ConfigMap) bool { return rf(old, new, at) && rg(old, new, at) }
	case 1:
		return Or(f, g), func(old, new, at *corev1.ConfigMap) bool { return rf(old, new, at) || rg(old, new, at) }
	}
	return Not(f), func(old, new, at *corev1.ConfigMap) bool { return !rf(old, new, at) }
}

// change changes, creates or deletes an object.
func (w *world) change() change {
	w.revision++
	namespace, name := string("ab"[w.dice.IntN(2)]), string("xyz"[w.dice.IntN(3)])
	c := change{kind: w.maps.kind, key: namespace + "/" + name, old: w.now[namespace+"/"+name], revision: w.revision}
	if c.old != nil && w.dice.IntN(3) == 0 {
		delete(w.now, c.key)
		return c
	}
	cm := &corev1.ConfigMap{}
	cm.Namespace, cm.Name, cm.ResourceVersion = namespace, name, store.FormatRevision(w.revision)
	cm.Data = map[string]string{"n": strconv.Itoa(w.dice.IntN(5))}
	cm.Labels = map[string]string{"color": []string{"red", "blue"}[w.dice.IntN(2)]}
	cm.Annotations = map[string]string{"size": []string{"small", "large"}[w.dice.IntN(2)]}
	cm.Generation = int64(w.dice.IntN(3))
	if w.dice.IntN(4) == 0 {
		cm.DeletionTimestamp = new(metav1.Unix(1, 0))
	}
	if w.made++; c.old != nil {
		cm.UID = c.old.obj.GetUID()
	} else {
		cm.UID = types.UID(fmt.Sprint(w.made))
	}
	c.new = &entry{key: c.key, obj: cm, rev: w.revision, sum: uint64(w.made)}
	w.now[c.key] = c.new
	return c
}

// respond makes the replica apply some changes as one response of a watch.
func (w *world) respond() []change {
	var changes []change
	for range 1 + w.dice.IntN(4) {
		changes = append(changes, w.change())
	}
	b := &changeSet{reflector: w.reflector, changes: slices.Clone(changes), touched: map[*kind]bool{w.maps.kind: true}}
	b.commit(w.revision)
	w.history[w.revision] = maps.Clone(w.now)
	return changes
}

// relist makes the replica miss some changes, and list.
func (w *world) relist() []change {
	before := maps.Clone(w.now)
	for range w.dice.IntN(12) {
		w.change()
	}
	return w.list(before)
}

// restore makes the replica list an etcd that was restored.
func (w *world) restore() []change {
	revisions := slices.Sorted(maps.Keys(w.history))
	before := w.now
	w.revision = revisions[w.dice.IntN(len(revisions))]
	w.now = maps.Clone(w.history[w.revision])
	return w.list(before)
}

func (w *world) list(before mapState) []change {
	lists := w.reflector.replica.kindLists()
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
	w.reflector.install(lists, w.revision, epochID{}, true)
	w.history[w.revision] = maps.Clone(w.now)
	return changes
}

// step makes one random change, and returns the changes that the replica saw.
func (w *world) step() []change {
	switch w.dice.IntN(12) {
	case 0:
		return w.relist()
	case 1:
		return w.restore()
	}
	return w.respond()
}
