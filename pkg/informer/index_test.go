package informer

import (
	"cmp"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
)

// found is one object as an index yields it.
type found struct{ value, key string }

func collectFound(seq iter.Seq2[string, *corev1.ConfigMap]) (all []found) {
	for value, cm := range seq {
		all = append(all, found{value, cm.Namespace + "/" + cm.Name})
	}
	return all
}

// scanned returns what an index must yield, by a scan of all objects.
func scanned(maps *Informer[*corev1.ConfigMap], s *Snapshot, within func(value string) bool) (all []found) {
	for cm := range maps.List(s, ListOptions{}) {
		values := valuesOf(cm)
		slices.Sort(values)
		for _, v := range slices.Compact(values) {
			if within(v) {
				all = append(all, found{v, cm.Namespace + "/" + cm.Name})
			}
		}
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(strings.Compare(a.value, b.value), strings.Compare(a.key, b.key))
	})
	return all
}

// Ranges and prefixes must agree with a scan of all objects, in snapshots older
// and newer than the index.
func TestRangesAgreeWithScan(t *testing.T) {
	r, maps := offline(t)
	indexes := []*Index[*corev1.ConfigMap]{maps.AddIndex(valuesOf)}
	dice := rand.New(rand.NewPCG(3, 4))
	alphabet := []string{"", "a", "aa", "a\xff", "ab", "b", "a/b", "\x00", "ü", "\xff", "\xff\xff"}
	snapshots := []*Snapshot{r.Snapshot()}
	for step := range 1000 {
		var values []string
		for range dice.IntN(4) {
			values = append(values, alphabet[dice.IntN(len(alphabet))])
		}
		set(maps, fmt.Sprint("ns-", dice.IntN(3)), fmt.Sprint("cm-", dice.IntN(20)), values...)
		switch step % 300 {
		case 0:
			indexes = append(indexes, maps.AddIndex(valuesOf))
		case 7:
			snapshots = append(snapshots, r.Snapshot())
		}
	}
	for _, s := range append(snapshots, r.Snapshot()) {
		for n, x := range indexes {
			for _, from := range alphabet {
				want := scanned(maps, s, func(v string) bool { return strings.HasPrefix(v, from) })
				if got := collectFound(x.Prefix(s, from)); !slices.Equal(got, want) {
					t.Fatalf("snapshot %d, index %d, prefix %q: %q, want %q", s.Revision(), n, from, got, want)
				}
				for _, to := range alphabet {
					want := scanned(maps, s, func(v string) bool { return from <= v && (to == "" || v < to) })
					if got := collectFound(x.Range(s, from, to)); !slices.Equal(got, want) {
						t.Fatalf("snapshot %d, index %d, from %q to %q: %q, want %q", s.Revision(), n, from, to, got, want)
					}
				}
			}
		}
	}
}

func TestRangeStops(t *testing.T) {
	r, maps := offline(t)
	x := maps.AddIndex(valuesOf)
	set(maps, "default", "a", "1", "2")
	n := 0
	for range x.Range(r.Snapshot(), "", "") {
		n++
		break
	}
	for range x.Prefix(r.Snapshot(), "") {
		n++
		break
	}
	if n != 2 {
		t.Errorf("%d objects", n)
	}
}

// An index whose function panics for an object lacks that object until it
// changes, and has all others.
func TestPanickingIndex(t *testing.T) {
	r, maps := offline(t)
	logged := 0
	r.log = funcr.New(func(_, args string) {
		if strings.Contains(args, "the index lacks the object") {
			logged++
		}
	}, funcr.Options{})
	picky := func(cm *corev1.ConfigMap) []string {
		if slices.Contains(valuesOf(cm), "bad") {
			panic("do not like it")
		}
		return valuesOf(cm)
	}
	early := maps.AddIndex(picky)
	set(maps, "default", "good", "v")
	set(maps, "default", "bad", "v", "bad")
	old := r.Snapshot()
	late := maps.AddIndex(picky)
	if logged != 2 { // one for each index
		t.Errorf("logged %d times", logged)
	}
	names := func(s *Snapshot, x *Index[*corev1.ConfigMap]) string {
		var names []string
		for cm := range x.Lookup(s, "v") {
			names = append(names, cm.Name)
		}
		return strings.Join(names, " ")
	}
	for _, x := range []*Index[*corev1.ConfigMap]{early, late} {
		for _, s := range []*Snapshot{old, r.Snapshot()} {
			if got := names(s, x); got != "good" {
				t.Errorf("found %q", got)
			}
		}
		if st := r.Status().Kinds[0].Indexes[x.def.slot]; st.Items != 1 || len(st.Failed) != 1 || st.Failed["/registry/core/configmaps/default/bad"] == nil {
			t.Errorf("status: %+v", st)
		}
	}

	// A list does not complain again of what it has not changed.
	f := &reflector{replica: r}
	lists := r.kindLists()
	lists[0].chunks = [][]*entry{slices.Collect(r.Snapshot().kind(maps.kind).list(ListOptions{}))}
	f.install(lists, 50, epochID{}, false)
	if logged != 2 {
		t.Errorf("logged %d times after a list", logged)
	}

	set(maps, "default", "bad", "v", "better")
	if got := names(r.Snapshot(), early); got != "bad good" {
		t.Errorf("found %q once it is good", got)
	}
	set(maps, "default", "bad", "bad")
	set(maps, "default", "bad")
	if got := names(r.Snapshot(), early); got != "good" {
		t.Errorf("found %q once it is gone", got)
	}
	if st := r.Status().Kinds[0].Indexes[0]; len(st.Failed) != 0 {
		t.Errorf("status: %+v", st)
	}
}

// If the function panics for an object that it had values for, the index drops
// those values.
func TestIndexThatBeginsToPanic(t *testing.T) {
	r, maps := offline(t)
	var panics bool
	x := maps.AddIndex(func(cm *corev1.ConfigMap) []string {
		if panics {
			panic("no more")
		}
		return valuesOf(cm)
	})
	set(maps, "default", "a", "1", "2")
	set(maps, "default", "b", "1")
	panics = true
	set(maps, "default", "a")
	if got := collectFound(x.Range(r.Snapshot(), "", "")); !slices.Equal(got, []found{{"1", "default/b"}}) {
		t.Errorf("%q", got)
	}
}
