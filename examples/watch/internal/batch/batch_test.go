package batch_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/examples/watch/internal/batch"
	"github.com/homeostat/homeostat/examples/watch/internal/change"
)

func put(key string, created, modified int64) change.Change {
	return change.Of(&clientv3.Event{Type: mvccpb.PUT, Kv: &mvccpb.KeyValue{
		Key: []byte(key), CreateRevision: created, ModRevision: modified,
	}})
}

func deletion(key string, revision int64) change.Change {
	return change.Of(&clientv3.Event{Type: mvccpb.DELETE, Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: revision}})
}

func TestChangesOfAKeyAreJoined(t *testing.T) {
	b := batch.Batch{Window: time.Second}
	for _, c := range []change.Change{
		put("created", 2, 2), put("b", 3, 3), put("a", 3, 3), put("created", 2, 4), put("updated", 1, 5),
		put("deleted", 1, 6), put("created", 2, 7), deletion("deleted", 8), deletion("again", 9), put("again", 10, 10),
	} {
		b.Add(c, time.Unix(0, 0))
	}
	var got []string
	for _, c := range b.Take() {
		got = append(got, fmt.Sprintf("%d %s %s x%d", c.Event.Kv.ModRevision, c.Event.Kv.Key, c.Op, c.Joined))
	}
	want := []string{"3 a create x1", "3 b create x1", "5 updated update x1", "7 created create x3", "8 deleted delete x2", "10 again update x2"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if !b.Empty() {
		t.Error("a batch that was taken is not empty")
	}
}

func TestDueOfALongWindow(t *testing.T) {
	start := time.Unix(100, 0)
	for _, window := range []time.Duration{math.MaxInt64, 1 << 62, 290 * 365 * 24 * time.Hour} {
		b := batch.Batch{Window: window}
		b.Add(put("a", 1, 1), start)
		if got := b.Due().Sub(start); got < 100*365*24*time.Hour {
			t.Errorf("%v: due after %v", window, got)
		}
	}
}

func TestDue(t *testing.T) {
	start := time.Unix(100, 0)
	b := batch.Batch{Window: time.Second}
	b.Add(put("a", 1, 1), start)
	if got := b.Due().Sub(start); got != time.Second {
		t.Errorf("after one change: due after %v", got)
	}
	for i := range 20 {
		b.Add(put("a", 1, 1), start.Add(time.Duration(i)*900*time.Millisecond))
		want := min(time.Duration(i)*900*time.Millisecond+time.Second, 10*time.Second)
		if got := b.Due().Sub(start); got != want {
			t.Errorf("after change %d: due after %v, want %v", i, got, want)
		}
	}
	b.Take()
	b.Add(put("a", 1, 1), start.Add(time.Hour))
	if got := b.Due().Sub(start); got != time.Hour+time.Second {
		t.Errorf("the next batch: due after %v", got)
	}
}
