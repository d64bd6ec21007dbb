package change_test

import (
	"reflect"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/examples/watch/internal/change"
	"github.com/homeostat/homeostat/pkg/condition"
)

func TestCondition(t *testing.T) {
	c := change.Of(&clientv3.Event{
		Type:   mvccpb.PUT,
		Kv:     &mvccpb.KeyValue{Key: []byte("/a"), CreateRevision: 2, ModRevision: 5, Value: []byte(`{"n": 9007199254740993, "f": 1.5}`)},
		PrevKv: &mvccpb.KeyValue{Value: []byte("no JSON")},
	}).Condition()
	if c.Op != condition.OpUpdate || c.Key != "/a" || c.Revision != 5 {
		t.Errorf("%+v", c)
	}
	want := map[string]any{"n": int64(9007199254740993), "f": 1.5}
	if got, err := c.New.(condition.Lazy)(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("new is %v, %v", got, err)
	}
	if got, err := c.Old.(condition.Lazy)(); err != nil || got != nil {
		t.Errorf("old is %v, %v", got, err)
	}

	deleted := change.Of(&clientv3.Event{Type: mvccpb.DELETE, Kv: &mvccpb.KeyValue{Key: []byte("/a")}}).Condition()
	if deleted.Op != condition.OpDelete || deleted.New != nil || deleted.Old != nil {
		t.Errorf("%+v", deleted)
	}
}
