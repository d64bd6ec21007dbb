package group

import (
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Builders of transactions, as the store makes them.
func at(key string, rev int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", rev)
}
func before(start, end string, rev int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(start), "<", rev).WithRange(end)
}
func conds(c ...clientv3.Cmp) []clientv3.Cmp             { return c }
func ops(o ...clientv3.Op) []clientv3.Op                 { return o }
func get(key string, o ...clientv3.OpOption) clientv3.Op { return clientv3.OpGet(key, o...) }
func put(key, value string) clientv3.Op                  { return clientv3.OpPut(key, value) }
func del(key string, o ...clientv3.OpOption) clientv3.Op { return clientv3.OpDelete(key, o...) }

// cas puts a key if it is at a revision, and otherwise reads it.
func cas(key string, rev int64) Txn {
	return Txn{If: conds(at(key, rev)), Then: ops(put(key, "v")), Else: ops(get(key))}
}

// with adds conditions.
func (t Txn) with(c ...clientv3.Cmp) Txn {
	t.If = append(conds(c...), t.If...)
	return t
}

func TestConflicts(t *testing.T) {
	fence := clientv3.Compare(clientv3.CreateRevision("fence"), "=", int64(3))
	for name, c := range map[string]struct {
		a, b     Txn
		conflict bool
	}{
		"writes of two keys":                      {cas("a", 1), cas("b", 1), false},
		"writes of one key":                       {cas("a", 1), cas("a", 2), true},
		"a fence that both compare":               {cas("a", 1).with(fence), cas("b", 1).with(fence), false},
		"a fence that one deletes":                {cas("a", 1).with(fence), Txn{Then: ops(del("fence"))}, true},
		"a write skew":                            {cas("a", 1).with(at("b", 1)), cas("b", 1).with(at("a", 1)), true},
		"one compares what the other puts":        {cas("a", 1).with(at("b", 1)), cas("b", 1), true},
		"both compare what neither writes":        {cas("a", 1).with(at("c", 1)), cas("b", 1).with(at("c", 1)), false},
		"one reads what the other puts":           {Txn{Then: ops(get("b"), put("a", ""))}, cas("b", 1), true},
		"one reads, if it fails, what other puts": {Txn{Then: ops(put("a", "")), Else: ops(get("b"))}, cas("b", 1), true},
		"one puts only if it fails":               {Txn{Then: ops(get("a")), Else: ops(put("b", ""))}, cas("b", 1), true},
		"one deletes what the other puts":         {Txn{Then: ops(del("b"))}, cas("b", 1), true},
		"both delete one key":                     {Txn{Then: ops(del("b"))}, Txn{Then: ops(del("b"))}, true},
		"a compared range with the other's key":   {cas("z", 1).with(before("a", "c", 9)), cas("b", 1), true},
		"a compared range before the other's key": {cas("z", 1).with(before("a", "b", 9)), cas("b", 1), false},
		"a compared range behind the other's key": {cas("z", 1).with(before("b", "c", 9)), cas("a", 1), false},
		"a compared range without an end":         {cas("a", 1).with(before("c", "\x00", 9)), cas("x", 1), true},
		"one range that both compare":             {cas("y", 1).with(before("a", "c", 9)), cas("z", 1).with(before("a", "c", 9)), false},
		"a compared range and a deleted one":      {cas("y", 1).with(before("a", "c", 9)), Txn{Then: ops(del("b", clientv3.WithRange("d")))}, true},
		"ranges that touch":                       {cas("y", 1).with(before("a", "b", 9)), Txn{Then: ops(del("b", clientv3.WithRange("d")))}, false},
		"a read range with the other's key":       {Txn{Then: ops(put("z", "")), Else: ops(get("a", clientv3.WithPrefix()))}, cas("ab", 1), true},
		"a key that starts like the other":        {cas("a", 1), cas("ab", 1), false},
		"a range from the first key on":           {cas("y", 1).with(before("\x00", "\x00", 9)), cas("a", 1), true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, order := range [][2]Txn{{c.a, c.b}, {c.b, c.a}} {
				b := &batch{}
				b.add(&member{print: footprintOf(order[0])})
				if b.conflicts(footprintOf(order[1])) != c.conflict {
					t.Errorf("conflict is not %v", c.conflict)
				}
			}
		})
	}
}

func TestBoundsOfAGroup(t *testing.T) {
	wide := func(key string, n int) (t Txn) {
		for i := range n {
			t.Then = append(t.Then, put(fmt.Sprintf("%s%d", key, i), ""))
		}
		return t
	}
	large := func(key string, n int) Txn { return Txn{Then: ops(put(key, string(make([]byte, n))))} }
	fill := func(n int, each func(i int) Txn) *batch {
		b := &batch{}
		for i := range n {
			b.add(&member{print: footprintOf(each(i))})
		}
		return b
	}
	small := func(i int) Txn { return cas(fmt.Sprint("k", i), 1) }
	for name, c := range map[string]struct {
		b        *batch
		next     Txn
		accepted bool
	}{
		"members and operations up to the limit":   {fill(63, small), wide("x", 64), true},
		"members and operations above the limit":   {fill(64, small), wide("x", 64), false},
		"the operations of the largest, not all":   {fill(63, func(i int) Txn { return wide(fmt.Sprint("k", i, "-"), 64) }), wide("x", 64), true},
		"a member that is too large for any group": {fill(1, small), wide("x", 127), false},
		"a small one beside the largest possible":  {fill(1, func(int) Txn { return wide("x", 126) }), small(0), true},
		"a single member of any size":              {fill(0, small), wide("x", 128), true},
		"bytes below the limit":                    {fill(1, small), large("x", 1<<20), true},
		"bytes above the limit":                    {fill(1, func(int) Txn { return large("y", 1<<20) }), large("x", 1<<19), false},
		"a deletion beside puts":                   {fill(1, small), Txn{Then: ops(del("x"))}, false},
		"a deletion beside deletions":              {fill(1, func(int) Txn { return Txn{Then: ops(del("y"))} }), Txn{Then: ops(del("x"))}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if c.b.accepts(&member{print: footprintOf(c.next)}, defaultBounds) != c.accepted {
				t.Errorf("accepted is not %v", c.accepted)
			}
		})
	}
}

// The size that bounds groups must not be below what is sent.
func TestSizeIsAnUpperBound(t *testing.T) {
	txn := Txn{
		If:   conds(before("/registry/example.com/sites/", "/registry/example.com/sites0", 1<<40), clientv3.Compare(clientv3.Value("k"), "=", "value")),
		Then: ops(clientv3.OpPut("/registry/example.com/sites/a", "some value", clientv3.WithLease(1<<60)), del("/registry/b", clientv3.WithPrefix())),
		Else: ops(get("/registry/", clientv3.WithPrefix(), clientv3.WithMinModRev(1<<40), clientv3.WithLimit(1), clientv3.WithKeysOnly())),
	}
	if sent, bound := sizeOf(t, txn), footprintOf(txn).bytes; sent > bound {
		t.Errorf("%d bytes are sent, above %d", sent, bound)
	}
}
