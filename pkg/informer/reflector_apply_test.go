package informer

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
)

// etcd may send the progress of a revision, repeat old events, and then send
// events that it should have sent before the progress. The replica must not take
// those for repetitions too.
func TestRepeatedEventsProveNoProgress(t *testing.T) {
	s, _ := offline(t)
	f := &reflector{replica: s, complete: 1}
	k := s.kinds[0]
	encode, err := s.store.Encoder(&corev1.ConfigMap{})
	if err != nil {
		t.Fatal(err)
	}
	event := func(name string, rev int64) clientv3.WatchResponse {
		cm := &corev1.ConfigMap{}
		cm.Namespace, cm.Name = "default", name
		value, err := encode(cm)
		if err != nil {
			t.Fatal(err)
		}
		return clientv3.WatchResponse{Header: &pb.ResponseHeader{Revision: rev}, Events: []*clientv3.Event{{Type: mvccpb.PUT, Kv: &mvccpb.KeyValue{
			Key: []byte(k.prefix + "default/" + name), Value: value, ModRevision: rev}}}}
	}
	if err := f.apply(event("a", 10)); err != nil {
		t.Fatal(err)
	}
	f.advance(20)
	before := s.Snapshot()
	if err := f.apply(event("a", 10)); err != nil || s.Snapshot() != before {
		t.Fatalf("a repetition is applied, or fails: %v", err)
	}
	if err := f.apply(event("b", 15)); err == nil || f.relistReason != reasonDisorder {
		t.Fatalf("the change of a revision that etcd was done with is dropped: %v, %q", err, f.relistReason)
	}
}
