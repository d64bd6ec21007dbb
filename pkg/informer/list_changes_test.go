package informer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tidwall/btree"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// comparing compares the known keys with etcd's, both with their revisions. It
// returns the keys to read values of, and the deleted keys.
func comparing(known, inEtcd map[string]int64, chunk int) (c *comparison, err error) {
	old := new(btree.Map[string, *entry])
	for key, rev := range known {
		old.Set(key, &entry{key: key, rev: rev, size: 100})
	}
	var kvs []*mvccpb.KeyValue
	for key, rev := range inEtcd {
		kvs = append(kvs, &mvccpb.KeyValue{Key: []byte("p/" + key), ModRevision: rev})
	}
	slices.SortFunc(kvs, func(a, b *mvccpb.KeyValue) int { return slices.Compare(a.Key, b.Key) })
	c = newComparison(&kind{prefix: "p/", scope: &scope{}}, old)
	for part := range slices.Chunk(kvs, chunk) {
		if err = c.compare(part); err != nil {
			break
		}
	}
	c.finish(err == nil)
	return c, err
}

// The known values and the read values together are etcd's state, and few known
// values are read.
func TestComparison(t *testing.T) {
	for seed := range uint64(300) {
		dice := rand.New(rand.NewPCG(seed, 1))
		n, share := dice.IntN(3000), dice.Float64()*dice.Float64()
		known, inEtcd := map[string]int64{}, map[string]int64{}
		from, to := dice.IntN(n+1), dice.IntN(n+1)
		changed := 0
		for i := range n {
			key := fmt.Sprintf("%06d", i)
			rev := int64(i + 1)
			p := share
			if i >= from && i < to { // much has changed here
				p = 0.9
			}
			switch {
			case dice.Float64() >= p:
				known[key], inEtcd[key] = rev, rev
				continue
			case dice.IntN(4) == 0:
				known[key] = rev // gone
				continue
			case dice.IntN(3) == 0: // new
			default:
				known[key] = rev
			}
			inEtcd[key] = int64(n) + rev
			changed++
		}
		c, err := comparing(known, inEtcd, 1+dice.IntN(700))
		if err != nil && !errors.Is(err, errManyChanges) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		single, got := map[string]bool{}, map[string]int64{}
		for keys := range c.batches(100) {
			if len(keys) > etcd.MaxGetKeys {
				t.Fatalf("seed %d: %d keys at once", seed, len(keys))
			}
			for _, key := range keys {
				if single[key] {
					t.Fatalf("seed %d: %s is read twice", seed, key)
				}
				single[key] = true
			}
		}
		reads := func(key string) bool {
			return single[key] || slices.ContainsFunc(c.ranges, func(r etcd.Range) bool { return r.Contains(key) })
		}
		read := 0
		for key, rev := range known { // as update does
			if !c.rest.Contains("p/" + key) {
				got[key] = rev
			}
		}
		for _, e := range c.deleted {
			delete(got, e.key)
		}
		for key, rev := range inEtcd {
			if reads("p/" + key) {
				got[key] = rev
				read++
			}
		}
		for key, rev := range inEtcd {
			if got[key] != rev {
				t.Fatalf("seed %d: %s is of revision %d, known would be %d", seed, key, rev, got[key])
			}
		}
		if len(got) != len(inEtcd) {
			t.Fatalf("seed %d: %d are known, there are %d", seed, len(got), len(inEtcd))
		}
		if err == nil && read > 3*changed {
			t.Fatalf("seed %d: %d changed, %d are read", seed, changed, read)
		}
	}
}

func TestComparisonFindsOlderValues(t *testing.T) {
	_, err := comparing(map[string]int64{"a": 1, "b": 7}, map[string]int64{"a": 1, "b": 5}, 10)
	if !errors.Is(err, errNewEpoch) {
		t.Errorf("error is %v", err)
	}
}

// If everything has changed, few keys are read before the values.
func TestComparisonGivesUpEarly(t *testing.T) {
	known, inEtcd := map[string]int64{}, map[string]int64{}
	for i := range 10_000 {
		known[fmt.Sprintf("%06d", i)], inEtcd[fmt.Sprintf("%06d", i)] = 1, 2
	}
	c, err := comparing(known, inEtcd, 100)
	if !errors.Is(err, errManyChanges) || len(c.keys) > 0 || len(c.ranges) != 2 {
		t.Fatalf("%v; %d keys, ranges %v", err, len(c.keys), c.ranges)
	}
	if c.rest.Start > "p/002700" {
		t.Errorf("gave up at %s", c.rest.Start)
	}
}

func TestBatchesAreBounded(t *testing.T) {
	c := &comparison{sizes: map[string]int64{}}
	for i := range 1000 {
		key := fmt.Sprint(i)
		c.keys = append(c.keys, key)
		c.sizes[key] = int64(i) << 10
	}
	for keys := range c.batches(0) {
		bytes := int64(0)
		for _, key := range keys {
			bytes += c.sizes[key]
		}
		if bytes > batchBytes && len(keys) > 1 {
			t.Errorf("%d bytes in %d keys", bytes, len(keys))
		}
	}
}
