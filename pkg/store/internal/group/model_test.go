package group

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

const (
	modelWorkers = 24
	modelRounds  = 25
	modelKeys    = 10
)

// value is what a key holds.
type value struct {
	text        string
	create, mod int64
}

// state is what all keys hold at a revision.
type state map[string]value

// in returns the keys of an interval that exist, in order.
func (s state) in(i interval) (keys []string) {
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if i.has(key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// holds evaluates a condition as etcd does.
func (s state) holds(c clientv3.Cmp) bool {
	cmp := c.GetCompare()
	one := func(v value) bool {
		switch {
		case cmp.Target == pb.Compare_CREATE:
			return v.create == cmp.GetCreateRevision()
		case cmp.Result == pb.Compare_LESS:
			return v.mod < cmp.GetModRevision()
		}
		return v.mod == cmp.GetModRevision()
	}
	keys := s.in(interval{string(cmp.Key), string(cmp.RangeEnd)})
	if len(keys) == 0 {
		return one(value{})
	}
	return !slices.ContainsFunc(keys, func(key string) bool { return !one(s[key]) })
}

// execute executes a transaction at a revision and reports what it answers: whether its
// conditions hold, and what each read found.
func (s state) execute(t Txn, revision int64) (succeeded bool, reads []string) {
	succeeded = !slices.ContainsFunc(t.If, func(c clientv3.Cmp) bool { return !s.holds(c) })
	branch := t.Then
	if !succeeded {
		branch = t.Else
	}
	for _, op := range branch {
		keys := interval{string(op.KeyBytes()), string(op.RangeBytes())}
		switch {
		case op.IsGet():
			found := ""
			for _, key := range s.in(keys) {
				found += fmt.Sprintf("%s=%s@%d,%d ", key, s[key].text, s[key].create, s[key].mod)
			}
			reads = append(reads, found)
		case op.IsPut():
			next := value{string(op.ValueBytes()), revision, revision}
			if old, ok := s[keys.start]; ok {
				next.create = old.create
			}
			s[keys.start] = next
		case op.IsDelete():
			for _, key := range s.in(keys) {
				delete(s, key)
			}
		}
	}
	return succeeded, reads
}

// record is a transaction and its answer.
type record struct {
	txn       Txn
	revision  int64
	succeeded bool
	reads     []string
	size      int
}

func recordOf(t Txn, a Answer) record {
	r := record{t, a.Response.Header.Revision, a.Response.Succeeded, nil, a.Size}
	for _, op := range a.Response.Responses {
		if got := op.GetResponseRange(); got != nil {
			found := ""
			for _, kv := range got.Kvs {
				found += fmt.Sprintf("%s=%s@%d,%d ", kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision)
			}
			r.reads = append(r.reads, found)
		}
	}
	return r
}

// worker makes random transactions of what it believes the keys hold.
type worker struct {
	dice  *rand.Rand
	name  string
	round int
	known map[string]int64 // ModRevisions
	seen  int64            // the newest revision of an answer
}

func modelKey(i int) string { return fmt.Sprintf("/model/%02d", i) }

func (w *worker) key() string { return modelKey(w.dice.IntN(modelKeys)) }

func (w *worker) expected(key string) clientv3.Cmp { return at(key, w.known[key]) }

func (w *worker) next() Txn {
	w.round++
	i := w.dice.IntN(modelKeys - 2)
	key, other, end := modelKey(i), w.key(), modelKey(i+2)
	write := put(key, fmt.Sprint(w.name, "-", w.round))
	all := get("/model/", clientv3.WithPrefix())
	switch w.dice.IntN(8) {
	case 0: // a write skew, if its twin is in the same group
		return Txn{If: conds(w.expected(key), w.expected(other)), Then: ops(write), Else: ops(all)}
	case 1: // the same over a range
		return Txn{If: conds(before(other, "/model0", w.seen+1)), Then: ops(write), Else: ops(all)}
	case 2:
		return Txn{If: conds(w.expected(key)), Then: ops(get(other), write), Else: ops(all)}
	case 3:
		if w.known[key] != 0 {
			return Txn{If: conds(w.expected(key)), Then: ops(del(key)), Else: ops(all)}
		}
	case 4:
		if w.known[key] != 0 {
			return Txn{If: conds(w.expected(key)), Then: ops(del(key, clientv3.WithRange(end))), Else: ops(all)}
		}
	case 5:
		if other != key {
			return Txn{If: conds(w.expected(key)), Then: ops(write, put(other, w.name)), Else: ops(get(key), get(other))}
		}
	}
	return Txn{If: conds(w.expected(key)), Then: ops(write), Else: ops(get(key))}
}

// learn updates the beliefs, from a read of all keys at the answer's revision.
func (w *worker) learn(t *testing.T, client *clientv3.Client, r record) {
	w.seen = max(w.seen, r.revision)
	resp, err := client.Get(t.Context(), "/model/", clientv3.WithPrefix())
	if err != nil {
		t.Error(err)
		return
	}
	clear(w.known)
	for _, kv := range resp.Kvs {
		w.known[string(kv.Key)] = kv.ModRevision
	}
}

// Random transactions go in groups as large as they get. etcd's history must be that of
// a serial execution, and each answer that which the execution gives.
func TestGroupsAreSerializable(t *testing.T) {
	etcdtest.VerifyNoLeaks(t)
	client := etcdtest.Start(t, etcdtest.Options{}).Client()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed) // shown when the test fails
	c := New(client, Options{Hold: func() { time.Sleep(time.Millisecond) }})
	var mu sync.Mutex // guards records
	var records []record
	var workers sync.WaitGroup
	for i := range modelWorkers {
		w := &worker{dice: rand.New(rand.NewPCG(seed, uint64(i))), name: fmt.Sprint("w", i), known: map[string]int64{}}
		workers.Go(func() {
			for range modelRounds {
				txn := w.next()
				answer, err := c.Commit(t.Context(), txn)
				if err != nil {
					t.Error(err)
					return
				}
				r := recordOf(txn, answer)
				mu.Lock()
				records = append(records, r)
				mu.Unlock()
				w.learn(t, client, r)
			}
		})
	}
	workers.Wait()
	if t.Failed() {
		return
	}
	checkSerial(t, client, records, rand.New(rand.NewPCG(seed, 1<<32)))
}

// checkSerial executes the transactions of each revision one after the other, in a random
// order, and compares the result with etcd's history.
func checkSerial(t *testing.T, client *clientv3.Client, records []record, dice *rand.Rand) {
	states, last := etcdHistory(t, client)
	byRevision := map[int64][]record{}
	largest := 0
	for _, r := range records {
		byRevision[r.revision] = append(byRevision[r.revision], r)
		largest = max(largest, r.size)
	}
	if largest < 3 {
		t.Errorf("no group had more than %d members", largest)
	}
	for revision, group := range byRevision {
		if revision > last {
			t.Fatalf("answered at revision %d after the end, %d", revision, last)
		}
		now := maps.Clone(states[revision-1])
		dice.Shuffle(len(group), func(i, j int) { group[i], group[j] = group[j], group[i] })
		for _, r := range group {
			if !r.succeeded { // etcd was at this revision, before or after the others
				r.check(t, maps.Clone(states[revision]))
				continue
			}
			r.check(t, now)
		}
		if !maps.Equal(now, states[revision]) {
			if slices.ContainsFunc(group, func(r record) bool { return r.succeeded }) {
				t.Errorf("revision %d: one after the other leave %v, etcd has %v", revision, now, states[revision])
			}
		}
	}
}

func (r record) check(t *testing.T, s state) {
	t.Helper()
	succeeded, reads := s.execute(r.txn, r.revision)
	if succeeded != r.succeeded || !slices.Equal(reads, r.reads) {
		t.Errorf("revision %d, in a group of %d: answered %v %q, one after the other gives %v %q",
			r.revision, r.size, r.succeeded, r.reads, succeeded, reads)
	}
}

// etcdHistory returns what the keys held at each revision, and the last revision.
func etcdHistory(t *testing.T, client *clientv3.Client) (states map[int64]state, last int64) {
	t.Helper()
	resp, err := client.Put(t.Context(), "/model~end", "") // so that there is an event to wait for
	if err != nil {
		t.Fatal(err)
	}
	last = resp.Header.Revision
	now, at := state{}, int64(0)
	states = map[int64]state{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for batch := range client.Watch(ctx, "/model", clientv3.WithPrefix(), clientv3.WithRev(1)) {
		for _, ev := range batch.Events {
			for ; at < ev.Kv.ModRevision; at++ {
				states[at] = maps.Clone(now)
			}
			switch key := string(ev.Kv.Key); {
			case ev.Kv.ModRevision == last:
				states[last] = now
				return states, last
			case bytes.HasPrefix(ev.Kv.Key, []byte("/model/")) && ev.Type == clientv3.EventTypeDelete:
				delete(now, key)
			default:
				now[key] = value{string(ev.Kv.Value), ev.Kv.CreateRevision, ev.Kv.ModRevision}
			}
		}
	}
	t.Fatal("the watch has ended")
	return nil, 0
}
