package controller

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"k8s.io/client-go/util/workqueue"

	"github.com/homeostat/homeostat/pkg/store"
)

// noted has the classes of keys as their causes would have them.
type noted[R comparable] map[R]class

func (n noted[R]) class(key R) class { return n[key] }

func key(namespace, name string) Request {
	return Request{store.Key{Namespace: namespace, Name: name}}
}

// classed is a key as the tests of the order write it: "a/1" is one that is
// prompt, "a/1-" one that comes later.
func classed(s string) (Request, class) {
	if name := s[2:]; name[len(name)-1] == '-' {
		return key(s[:1], name[:len(name)-1]), later
	}
	return key(s[:1], s[2:]), prompt
}

func popAll(o workqueue.Queue[Request]) (keys []string) {
	for o.Len() > 0 {
		r := o.Pop()
		keys = append(keys, r.Namespace+"/"+r.Name)
	}
	return keys
}

func TestOrder(t *testing.T) {
	for name, test := range map[string]struct{ add, want []string }{
		"keys of one tenant leave as they came": {
			[]string{"a/1", "a/2", "a/3"}, []string{"a/1", "a/2", "a/3"}},
		"a key keeps its place when it is added again": {
			[]string{"a/1", "a/2", "a/1"}, []string{"a/1", "a/2"}},
		"changes come before what was there": {
			[]string{"a/1-", "a/2-", "a/3", "a/4"}, []string{"a/3", "a/4", "a/1", "a/2"}},
		"a key that was there and changes moves up, behind other changes": {
			[]string{"a/1-", "a/2-", "a/3", "a/2"}, []string{"a/3", "a/2", "a/1"}},
		"a change stays one when its key comes up for less": {
			[]string{"a/1-", "a/2", "a/2-"}, []string{"a/2", "a/1"}},
		"tenants take turns": {
			[]string{"a/1", "a/2", "a/3", "b/1", "c/1", "c/2"}, []string{"a/1", "b/1", "c/1", "a/2", "c/2", "a/3"}},
		"tenants take turns with what comes later, too": {
			[]string{"a/1-", "a/2-", "a/3-", "b/1-"}, []string{"a/1", "b/1", "a/2", "a/3"}},
		"the eighth is the oldest": {
			[]string{"a/0-", "a/1", "a/2", "a/3", "a/4", "a/5", "a/6", "a/7", "a/8", "a/9"},
			[]string{"a/1", "a/2", "a/3", "a/4", "a/5", "a/6", "a/7", "a/0", "a/8", "a/9"}},
		"a key that moves up keeps its age": {
			[]string{"a/0-", "b/0-", "a/1", "a/2", "a/3", "a/4", "a/5", "a/6", "a/7", "a/8", "a/9", "a/0"},
			[]string{"a/1", "a/2", "a/3", "a/4", "a/5", "a/6", "a/7", "a/0", "a/8", "a/9", "b/0"}},
	} {
		t.Run(name, func(t *testing.T) {
			classes := noted[Request]{}
			o := newOrder(classes.class)
			for _, s := range test.add {
				k, c := classed(s)
				if old, queued := classes[k]; queued {
					classes[k] = min(old, c)
					o.Touch(k)
					continue
				}
				classes[k] = c
				o.Push(k)
			}
			if got := popAll(o); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// However many changes come, what was there at the start goes on: of every eight
// keys one is the oldest.
func TestOrderStarvesNothing(t *testing.T) {
	const old = 100
	classes := noted[Request]{}
	o := newOrder(classes.class)
	for i := range old {
		k := key("old", fmt.Sprint(i))
		classes[k] = later
		o.Push(k)
	}
	for pops := range ageShare * old {
		o.Push(key("new", fmt.Sprint(pops))) // one comes for each that goes, and more than go
		o.Push(key("newer", fmt.Sprint(pops)))
		got := o.Pop()
		want := key("old", fmt.Sprint(pops/ageShare))
		if (pops+1)%ageShare == 0 && got != want {
			t.Fatalf("pop %d: got %v, want %v", pops+1, got, want)
		}
		if (pops+1)%ageShare != 0 && got.Namespace == "old" {
			t.Fatalf("pop %d: got %v before a change", pops+1, got)
		}
	}
}

// A tenant with very many keys delays that of another by two keys at most.
func TestOrderIsFair(t *testing.T) {
	for _, c := range []class{prompt, later} {
		for queued := range 2 * ageShare {
			o := newOrder(func(Request) class { return c })
			for i := range 10_000 {
				o.Push(key("many", fmt.Sprint(i)))
			}
			for range queued {
				o.Pop()
			}
			o.Push(key("one", "key"))
			if got := []Request{o.Pop(), o.Pop(), o.Pop()}; !slices.Contains(got, key("one", "key")) {
				t.Errorf("class %d: it did not come after %d: %v", c, queued, got)
			}
		}
	}
}

type shardKey struct{ shard, item int }

func (k shardKey) Tenant() string { return fmt.Sprint(k.shard) }

type wildKey int

func (k wildKey) Tenant() string { panic("no tenant") }

func TestOrderOfKeysWhoseTenantPanics(t *testing.T) {
	o := newOrder(func(wildKey) class { return prompt })
	o.Push(1)
	o.Push(2)
	if got, want := []wildKey{o.Pop(), o.Pop()}, []wildKey{1, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOrderOfOtherKeys(t *testing.T) {
	tenants := newOrder(func(shardKey) class { return prompt })
	for _, k := range []shardKey{{1, 1}, {1, 2}, {2, 1}} {
		tenants.Push(k)
	}
	if got, want := []shardKey{tenants.Pop(), tenants.Pop(), tenants.Pop()}, []shardKey{{1, 1}, {2, 1}, {1, 2}}; !slices.Equal(got, want) {
		t.Errorf("keys that tell their tenant: got %v, want %v", got, want)
	}
	plain := newOrder(func(int) class { return prompt })
	for k := range 3 {
		plain.Push(k)
	}
	if got := []int{plain.Pop(), plain.Pop(), plain.Pop()}; !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("keys without a tenant: got %v", got)
	}
}

// FuzzOrder does to an order whatever a queue may do to one, and compares it with
// what its documentation says of it.
func FuzzOrder(f *testing.F) {
	f.Add([]byte{0x00, 0x41, 0x82, 0xff, 0x01, 0xff, 0xff})
	f.Add([]byte("a key for each letter, popped at each vowel"))
	f.Fuzz(func(t *testing.T, steps []byte) {
		classes := noted[Request]{}
		o := newOrder(classes.class)
		var model []aged // what is queued, the oldest first
		pops := 0
		for _, step := range steps {
			k, c := key(fmt.Sprint(step>>4&3), fmt.Sprint(step&15)), class(step>>6&1)
			i := slices.IndexFunc(model, func(a aged) bool { return a.key == k })
			switch {
			case step >= 0x80:
				if len(model) > 0 {
					pops++
					model = popChecked(t, o, model, classes, pops)
				}
			case i >= 0:
				classes[k] = min(classes[k], c)
				o.Touch(k)
			default:
				classes[k] = c
				o.Push(k)
				model = append(model, aged{k, ageShare * (len(model) + 1)})
			}
			if o.Len() != len(model) {
				t.Fatalf("it has %d keys, and should have %d", o.Len(), len(model))
			}
		}
		for len(model) > 0 {
			pops++
			model = popChecked(t, o, model, classes, pops)
		}
		if o.ages.first != nil || o.lanes[prompt].of.len()+o.lanes[later].of.len() > 0 {
			t.Fatal("it is empty, and keeps something")
		}
	})
}

// aged is a queued key, and how many more keys may leave until it must have.
type aged struct {
	key   Request
	bound int
}

func popChecked(t *testing.T, o *order[Request], model []aged, classes noted[Request], pops int) []aged {
	t.Helper()
	got := o.Pop()
	i := slices.IndexFunc(model, func(a aged) bool { return a.key == got })
	if i < 0 {
		t.Fatalf("%v came, which is not queued", got)
	}
	earliest := later
	for _, a := range model {
		earliest = min(earliest, classes[a.key])
	}
	switch {
	case pops%ageShare == 0 && i != 0:
		t.Fatalf("%v came in its turn for age, not %v", got, model[0].key)
	case pops%ageShare != 0 && classes[got] != earliest:
		t.Fatalf("%v came, of class %d, before one of class %d", got, classes[got], earliest)
	}
	delete(classes, got)
	model = slices.Delete(model, i, i+1)
	for j := range model {
		if model[j].bound--; model[j].bound <= 0 {
			t.Fatalf("%v waits longer than it may", model[j].key)
		}
	}
	return model
}

// BenchmarkOrder compares the order with client-go's own: a key is added and one
// taken, with a number of keys waiting.
func BenchmarkOrder(b *testing.B) {
	for _, waiting := range []int{1, 1000, 100_000} {
		keys := make([]Request, waiting+1)
		for i := range keys {
			keys[i] = key(fmt.Sprint(i%100), fmt.Sprint(i))
		}
		for name, queue := range map[string]workqueue.Queue[Request]{
			"fifo":  workqueue.DefaultQueue[Request](),
			"order": newOrder(func(r Request) class { return class(len(r.Name) & 1) }),
		} {
			b.Run(fmt.Sprintf("%s/waiting=%d", name, waiting), func(b *testing.B) {
				q := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[Request]{Queue: queue})
				for _, k := range keys[:waiting] {
					q.Add(k)
				}
				next := keys[waiting]
				b.ReportAllocs()
				for b.Loop() {
					q.Add(next)
					next, _ = q.Get()
					q.Done(next)
				}
			})
		}
	}
}
