package informer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/store"
)

// offline returns a replica without an etcd, with ConfigMaps listed.
func offline(tb testing.TB, options ...Options) (*Replica, *Informer[*corev1.ConfigMap]) {
	tb.Helper()
	o := Options{}
	if len(options) > 0 {
		o = options[0]
	}
	s, err := store.New(clientv3.NewCtxClient(tb.Context()), store.Options{Scheme: scheme.Scheme})
	if err != nil {
		tb.Fatal(err)
	}
	r := NewReplica(s, o)
	i, err := For[*corev1.ConfigMap](r)
	if err != nil {
		tb.Fatal(err)
	}
	f := &reflector{replica: r}
	f.install(r.kindLists(), 1, epochID{}, false)
	return r, i
}

// set replaces an object, or deletes it if there are no values.
func set(i *Informer[*corev1.ConfigMap], namespace, name string, values ...string) {
	r, k := i.replica, i.kind
	key := string(appendKey(nil, store.Key{Namespace: namespace, Name: name}))
	c := change{kind: k, key: key, revision: r.Snapshot().revision + 1}
	if len(values) > 0 {
		cm := &corev1.ConfigMap{}
		cm.Namespace, cm.Name = namespace, name
		cm.Data = map[string]string{"values": strings.Join(values, ",")}
		c.new = &entry{key: key, obj: cm, rev: c.revision}
	}
	b := changeSet{reflector: &reflector{replica: r}, changes: []change{c}, touched: map[*kind]bool{k: true}}
	b.commit(c.revision)
}

func valuesOf(cm *corev1.ConfigMap) []string { return strings.Split(cm.Data["values"], ",") }

func TestReadingDoesNotAllocate(t *testing.T) {
	r, maps := offline(t)
	byValue := maps.AddIndex(valuesOf)
	for n := range 1000 {
		set(maps, "default", fmt.Sprint("cm-", n), fmt.Sprint(n%10))
	}
	s := r.Snapshot()
	found, missing := store.Key{Namespace: "default", Name: "cm-500"}, store.Key{Name: "none"}
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := maps.Get(s, found); !ok {
			t.Error("not found")
		}
		if _, ok := maps.Get(s, missing); ok {
			t.Error("found")
		}
	}); n != 0 {
		t.Errorf("Get allocates %v times", n)
	}
	// Whatever the number of objects.
	if n := testing.AllocsPerRun(100, func() {
		got := 0
		for range maps.List(s, ListOptions{Namespace: "default"}) {
			got++
		}
		if got != 1000 {
			t.Errorf("%d objects", got)
		}
	}); n > 10 {
		t.Errorf("List allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		got := 0
		for range byValue.Lookup(s, "3") {
			got++
		}
		if got != 100 {
			t.Errorf("%d objects", got)
		}
	}); n > 12 {
		t.Errorf("Lookup allocates %v times", n)
	}
}

func TestGetFindsKeysOfAnyLength(t *testing.T) {
	r, maps := offline(t)
	long := strings.Repeat("x", 400)
	set(maps, long, long, "v")
	if _, ok := maps.Get(r.Snapshot(), store.Key{Namespace: long, Name: long}); !ok {
		t.Error("not found")
	}
	if _, ok := maps.Get(r.Snapshot(), store.Key{}); ok {
		t.Error("found nothing's key")
	}
}

// An index must agree with a scan of all objects, in every snapshot, older or
// newer than the index.
func TestIndexAgreesWithScan(t *testing.T) {
	r, maps := offline(t)
	indexes := []*Index[*corev1.ConfigMap]{maps.AddIndex(valuesOf)}
	dice := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"", "a", "aa", "ab", "b", "a/b", "\x00", "ü"}
	snapshots := []*Snapshot{r.Snapshot()}
	for step := range 2000 {
		var values []string
		for range dice.IntN(4) {
			values = append(values, alphabet[dice.IntN(len(alphabet))]) // also twice the same
		}
		set(maps, fmt.Sprint("ns-", dice.IntN(3)), fmt.Sprint("cm-", dice.IntN(20)), values...)
		switch step % 400 {
		case 0:
			indexes = append(indexes, maps.AddIndex(valuesOf))
		case 7:
			snapshots = append(snapshots, r.Snapshot())
		}
	}
	for _, s := range append(snapshots, r.Snapshot()) {
		for n, x := range indexes {
			for _, value := range alphabet {
				var want []*corev1.ConfigMap
				for cm := range maps.List(s, ListOptions{}) {
					has := slices.Contains(valuesOf(cm), value)
					if has {
						want = append(want, cm)
					}
					if x.Has(cm, value) != has {
						t.Fatalf("index %d, value %q: it has %v: %v", n, value, cm, !has)
					}
				}
				if got := slices.Collect(x.Lookup(s, value)); !slices.Equal(got, want) {
					t.Fatalf("snapshot %d, index %d, value %q: %d objects, want %d", s.Revision(), n, value, len(got), len(want))
				}
			}
			if got := slices.Collect(x.Values(s)); !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
				t.Fatalf("snapshot %d, index %d: values %q", s.Revision(), n, got)
			}
		}
	}
}

// Every iteration can stop anywhere.
func TestIterationStops(t *testing.T) {
	r, maps := offline(t)
	x := maps.AddIndex(valuesOf)
	old := r.Snapshot()
	for n := range 100 {
		set(maps, "default", fmt.Sprint("cm-", n), "a", fmt.Sprint(n))
	}
	late := maps.AddIndex(valuesOf)
	full := r.Snapshot()
	set(maps, "default", "cm-0")
	for range maps.List(full, ListOptions{}) {
		break
	}
	for _, index := range []*Index[*corev1.ConfigMap]{x, late} {
		for _, s := range []*Snapshot{old, full} {
			for range index.Lookup(s, "a") {
				break
			}
			for range index.Values(s) {
				break
			}
		}
	}
	if n := len(slices.Collect(x.Lookup(full, "a"))); n != 100 {
		t.Errorf("%d objects", n)
	}
}

func FuzzFindKind(f *testing.F) {
	f.Add("core/configmaps/default/a")
	f.Add("core/configmaps")
	f.Add("apps/deployments/")
	f.Add("")
	prefixes := []string{"apps/deployments/", "core/configmaps/", "core/configmapsx/", "example.com/sites/"}
	var sorted []*kind
	for _, p := range prefixes {
		sorted = append(sorted, &kind{prefix: p})
	}
	f.Fuzz(func(t *testing.T, key string) {
		var want *kind
		for _, k := range sorted {
			if strings.HasPrefix(key, k.prefix) && key != k.prefix {
				want = k
			}
		}
		if got := findKind(sorted, key); got != want {
			t.Fatalf("key %q: %v, want %v", key, got, want)
		}
	})
}

// Keys are in the order of etcd: that of their bytes.
func FuzzKeyOrder(f *testing.F) {
	f.Add("a-b", "c", "a", "b")
	f.Add("", "node", "a", "b")
	f.Fuzz(func(t *testing.T, ns1, name1, ns2, name2 string) {
		r, maps := offline(t)
		set(maps, ns1, name1, "v")
		set(maps, ns2, name2, "v")
		var keys []string
		for cm := range maps.List(r.Snapshot(), ListOptions{}) {
			keys = append(keys, string(appendKey(nil, store.KeyOf(cm))))
		}
		if !slices.IsSorted(keys) || len(keys) == 0 {
			t.Fatalf("%q", keys)
		}
	})
}
