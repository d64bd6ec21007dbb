package store_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

const (
	linWriters = 200
	linObjects = 10
	linClients = 8
	linRounds  = 1 // of a reading, a compare-and-set and a Mutate, for each writer
)

// operation is one operation of a client on an object. begun and ended are
// readings of a clock that all writers share.
type operation struct {
	id       string // of an increment; stands in the object that it wrote
	object   int
	begun    int64
	ended    int64
	unknown  bool  // ended without an answer: it has no revision or number
	revision int64 // at which it took effect, or of what was read
	number   int32 // written or read
}

// version is an object at a revision, from etcd's history.
type version struct {
	id       string
	revision int64
	number   int32
}

// checkHistory reports why the operations on one object are not linearizable.
//
// In general this needs a search for an order. Here etcd has one: each version of
// the object has a revision, and each answer names the revision that it saw or
// wrote. So only the order by revision can explain the answers, with the writer
// of a version before its readers. This order is a linearization if the answers
// agree with the versions, and if no operation precedes one that had ended when
// it began. Readers of one version can always be put in the order in which they
// began. A write with an unknown outcome counts as one that never ends.
func checkHistory(versions []version, ops []operation) error {
	at, by := map[int64]version{}, map[string]version{}
	for i, v := range versions {
		if _, twice := by[v.id]; twice {
			return fmt.Errorf("%s was written twice", v.id)
		}
		if v.number != int32(i) {
			return fmt.Errorf("%s wrote %d as increment %d: an update was lost", v.id, v.number, i)
		}
		at[v.revision], by[v.id] = v, v
	}
	expected := map[string]bool{versions[0].id: true}
	for i, op := range ops {
		expected[op.id] = true
		v, happened := by[op.id]
		switch {
		case op.unknown && !happened:
			continue
		case op.unknown:
			ops[i].revision, ops[i].number = v.revision, v.number
		case op.id != "" && !happened:
			return fmt.Errorf("%s was acknowledged and is not in the history", op.id)
		case op.id != "" && (op.revision != v.revision || op.number != v.number):
			return fmt.Errorf("%s was answered %d at revision %d, and wrote %d at %d", op.id, op.number, op.revision, v.number, v.revision)
		case at[op.revision].id == "" || at[op.revision].number != op.number:
			return fmt.Errorf("%d was read at revision %d, where the history has %+v", op.number, op.revision, at[op.revision])
		}
	}
	for id := range by {
		if !expected[id] {
			return fmt.Errorf("%s is in the history and nobody wrote it", id)
		}
	}
	return checkRealTime(ops)
}

// checkRealTime compares each operation with those that had ended before it
// began.
func checkRealTime(ops []operation) error {
	for _, later := range ops {
		if later.revision == 0 {
			continue // never happened
		}
		for _, earlier := range ops {
			if earlier.unknown || earlier.ended >= later.begun {
				continue
			}
			if later.revision < earlier.revision || later.id != "" && later.revision == earlier.revision {
				return fmt.Errorf("%+v began when %+v had ended, and is of an earlier revision", later, earlier)
			}
		}
	}
	return nil
}

func TestHistoryCheckerFindsWhatIsWrong(t *testing.T) {
	versions := []version{{"create", 5, 0}, {"a", 7, 1}, {"b", 9, 2}}
	read := func(begun, ended, revision int64, number int32) operation {
		return operation{begun: begun, ended: ended, revision: revision, number: number}
	}
	wrote := func(id string, begun, ended, revision int64, number int32) operation {
		op := read(begun, ended, revision, number)
		op.id = id
		return op
	}
	lost := func(id string, begun int64) operation { return operation{id: id, begun: begun, unknown: true} }
	a, b := wrote("a", 1, 4, 7, 1), wrote("b", 2, 3, 9, 2)
	for name, c := range map[string]struct {
		versions []version
		ops      []operation
		sound    bool
	}{
		"two writes at once":                {versions, []operation{a, b, read(5, 6, 9, 2)}, true},
		"an unknown write that happened":    {versions, []operation{a, lost("b", 2)}, true},
		"an unknown write that did not":     {versions, []operation{a, b, lost("c", 2)}, true},
		"a read during a write":             {versions, []operation{a, b, read(1, 9, 5, 0)}, true},
		"a lost update":                     {[]version{versions[0], {"a", 7, 1}, {"b", 9, 1}}, []operation{a, b}, false},
		"a write that happened twice":       {append(versions[:3:3], version{"a", 11, 3}), []operation{a, b}, false},
		"an acknowledged write that is not": {versions, []operation{a, b, wrote("c", 1, 2, 11, 3)}, false},
		"a write that was refused":          {versions, []operation{a}, false},
		"a revision other than returned":    {versions, []operation{a, wrote("b", 2, 3, 8, 2)}, false},
		"a number that was never there":     {versions, []operation{a, b, read(5, 6, 9, 7)}, false},
		"a stale read":                      {versions, []operation{a, b, read(5, 6, 5, 0)}, false},
		"a read from the future":            {versions, []operation{wrote("a", 1, 2, 7, 1), wrote("b", 5, 6, 9, 2), read(3, 4, 9, 2)}, false},
		"a read that goes back":             {versions, []operation{wrote("a", 1, 9, 7, 1), wrote("b", 1, 9, 9, 2), read(2, 3, 9, 2), read(4, 5, 7, 1)}, false},
		"an unknown write before it began":  {versions, []operation{wrote("a", 1, 2, 7, 1), read(3, 4, 9, 2), lost("b", 5)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := checkHistory(c.versions, c.ops); (err == nil) != c.sound {
				t.Fatalf("the checker says: %v", err)
			}
		})
	}
}

// recorder runs operations and records their outcomes.
type recorder struct {
	clock atomic.Int64
	ended chan struct{} // gets one for each operation

	mu   sync.Mutex
	ops  [linObjects][]operation
	lost int // operations of unknown outcome
}

// record runs do until it succeeds or its outcome is unknown. It retries a
// certain failure, of which the history must show nothing.
func (r *recorder) record(t *testing.T, op operation, do func() (*Site, error)) {
	op.begun = r.clock.Add(1)
	for {
		site, err := do()
		switch {
		case err == nil:
			op.revision, err = store.ParseRevision(site.ResourceVersion)
			if err != nil {
				t.Error(err)
			}
			op.number = site.Spec.Replicas
		case store.IsUnknownOutcome(err):
			op.unknown = true
		case apierrors.IsConflict(err), etcd.Resumable(err):
			continue
		default:
			t.Errorf("%s: %v", op.id, err)
		}
		break
	}
	op.ended = r.clock.Add(1)
	r.mu.Lock()
	r.ops[op.object] = append(r.ops[op.object], op)
	if op.unknown {
		r.lost++
	}
	r.mu.Unlock()
	r.ended <- struct{}{}
}

// writer acts on an object as one of many controllers does.
func (r *recorder) writer(t *testing.T, s *store.Store, i int) {
	object := i % linObjects
	key := store.KeyOf(newSite(fmt.Sprintf("s%d", object)))
	get := func() (*Site, error) { return store.Get[*Site](t.Context(), s, key) }
	for round := range linRounds {
		r.record(t, operation{object: object}, get)
		cas := operation{id: fmt.Sprintf("cas-%d-%d", i, round), object: object}
		r.record(t, cas, func() (*Site, error) {
			site, err := get()
			if err != nil {
				return nil, err
			}
			site.Spec.Replicas, site.Spec.Image = site.Spec.Replicas+1, cas.id
			_, err = s.Update(t.Context(), site)
			return site, err
		})
		mutate := operation{id: fmt.Sprintf("mutate-%d-%d", i, round), object: object}
		r.record(t, mutate, func() (*Site, error) {
			site, _, err := store.Mutate(t.Context(), s, key, func(site *Site) error {
				site.Spec.Replicas, site.Spec.Image = site.Spec.Replicas+1, mutate.id
				return nil
			})
			return site, err
		})
	}
}

// sabotage cuts one link after another, and sometimes freezes one instead. Each
// fault lasts for a random number of operations, not for a time. sabotage stops
// early enough that the operations of the other links can end the last fault.
func (r *recorder) sabotage(links []*etcdtest.Link, dice *rand.Rand) {
	const total, longest = 3 * linRounds * linWriters, 10
	ended := 0
	await := func(n int) {
		for range n {
			<-r.ended
		}
		ended += n
	}
	for total-ended > total/linClients+2*longest {
		link := links[dice.IntN(len(links))]
		if dice.IntN(4) == 0 {
			link.Freeze()
		} else {
			link.Cut()
		}
		await(1 + dice.IntN(longest))
		link.Heal()
		await(1 + dice.IntN(longest/4))
	}
	await(total - ended)
}

// linHistory reads every version that the objects ever had.
func linHistory(t *testing.T, client *clientv3.Client, s *store.Store) (objects [linObjects][]version) {
	prefix, decode, err := s.Decoder(&Site{}, store.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range history(t, client, etcd.PrefixRange(prefix), last) {
		decoded, err := decode(string(ev.Kv.Key), ev.Kv.Value, ev.Kv.ModRevision)
		obj, key := decoded.Object, decoded.Key
		if err != nil {
			t.Fatal(err)
		}
		var object int
		if _, err := fmt.Sscanf(key.Name, "s%d", &object); err != nil {
			t.Fatal(err)
		}
		site := obj.(*Site)
		objects[object] = append(objects[object], version{site.Spec.Image, ev.Kv.ModRevision, site.Spec.Replicas})
	}
	return objects
}

// history returns all events of a range from the beginning up to a revision.
func history(t *testing.T, client *clientv3.Client, r etcd.Range, last int64) (events []*clientv3.Event) {
	t.Helper()
	resp, err := client.Put(t.Context(), r.Start+"~end", "") // so that there is an event to wait for
	if err != nil {
		t.Fatal(err)
	}
	raw, err := etcd.OpenWatch(t.Context(), client, r, 1, etcd.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for batch := range raw.Responses {
		if err := etcd.WatchError(batch, true); err != nil {
			t.Fatal(err)
		}
		for _, ev := range batch.Events {
			if ev.Kv.ModRevision == resp.Header.Revision {
				return events
			}
			if ev.Kv.ModRevision <= last {
				events = append(events, ev)
			}
		}
	}
	t.Fatal("the watch has ended")
	return nil
}

func TestWritersAreLinearizable(t *testing.T) {
	for name, change := range map[string]func(*store.Store) *store.Store{
		"as they come":          func(s *store.Store) *store.Store { return s },
		"in the largest groups": holdBriefly,
	} {
		t.Run(name, func(t *testing.T) { checkWriters(t, change) })
	}
}

// checkWriters runs writers while connections break. change changes each of their stores.
func checkWriters(t *testing.T, change func(*store.Store) *store.Store) {
	etcdtest.VerifyNoLeaks(t)
	cluster := etcdtest.Start(t, etcdtest.Options{})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed) // shown when the test fails

	var links []*etcdtest.Link
	var stores []*store.Store
	for range linClients {
		link, err := cluster.Member(0).NewLink()
		if err != nil {
			t.Fatal(err)
		}
		client, err := cluster.NewClient(etcdtest.ClientOptions{Endpoints: []string{link.Endpoint()}})
		if err != nil {
			t.Fatal(err)
		}
		links, stores = append(links, link), append(stores, change(siteStore(t, client)))
	}
	sure := siteStore(t, cluster.Client())
	for i := range linObjects {
		site := newSite(fmt.Sprintf("s%d", i))
		site.Spec.Image = "create"
		if _, err := sure.Create(t.Context(), site); err != nil {
			t.Fatal(err)
		}
	}

	r := &recorder{ended: make(chan struct{})}
	var writers sync.WaitGroup
	for i := range linWriters {
		writers.Go(func() { r.writer(t, stores[i%linClients], i) })
	}
	r.sabotage(links, rand.New(rand.NewPCG(seed, 0)))
	writers.Wait()
	if t.Failed() {
		return
	}
	t.Logf("%d operations of unknown outcome", r.lost)
	for object, versions := range linHistory(t, cluster.Client(), sure) {
		if err := checkHistory(versions, r.ops[object]); err != nil {
			t.Errorf("object %d: %v", object, err)
		}
	}
}

// siteStore holds sites, below a prefix that all such stores of a cluster share.
func siteStore(t *testing.T, client *clientv3.Client) *store.Store {
	t.Helper()
	s, err := store.New(client, store.Options{Kinds: []store.AnyKind{siteKind()}, Prefix: "/shared/"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
