package stream

import (
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestSentinel(t *testing.T) {
	kv := func(revision int64, value string) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{Key: []byte("k"), ModRevision: revision, Value: []byte(value)}
	}
	put := &clientv3.Event{Type: mvccpb.PUT, Kv: kv(5, "x")}
	deletion := &clientv3.Event{Type: mvccpb.DELETE, Kv: kv(5, "")}
	tests := []struct {
		what string
		last *clientv3.Event
		now  *mvccpb.KeyValue
		want bool
	}{
		{"it is as it was", put, kv(5, "x"), false},
		{"it has changed since", put, kv(6, "y"), false},
		{"it was deleted since", put, nil, false},
		{"another value at its revision", put, kv(5, "y"), true},
		{"it changed last before", put, kv(4, "x"), true},
		{"it was deleted and is not there", deletion, nil, false},
		{"it was deleted and made anew", deletion, kv(6, ""), false},
		{"it was deleted and is there all the same", deletion, kv(4, ""), true},
		{"it was deleted and has a value of that revision", deletion, kv(5, ""), true},
	}
	for _, test := range tests {
		w := Position{}.after([]*clientv3.Event{test.last}, 0).Sentinel
		if got := w.contradicts(test.now); got != test.want {
			t.Errorf("%s: %v", test.what, got)
		}
	}
	if (*Sentinel)(nil).contradicts(kv(1, "")) {
		t.Error("no sentinel contradicts")
	}
}

func TestNewsDoNotTakeBack(t *testing.T) {
	at := Position{Revision: 7, Sentinel: &Sentinel{}}
	if got := at.after(nil, 5); got != at {
		t.Errorf("%+v", got)
	}
	if got := at.after(nil, 9); got.Revision != 9 || got.Sentinel != at.Sentinel {
		t.Errorf("%+v", got)
	}
}
