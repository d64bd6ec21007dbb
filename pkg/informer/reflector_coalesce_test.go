package informer

import (
	"fmt"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// response returns etcd's response for so many changes, the last of them at a
// revision. Without changes it is a progress notification.
func response(revision int64, changes int) clientv3.WatchResponse {
	resp := clientv3.WatchResponse{Header: &pb.ResponseHeader{Revision: revision}}
	for i := range changes {
		resp.Events = append(resp.Events, &clientv3.Event{Kv: &mvccpb.KeyValue{ModRevision: revision - int64(changes-1-i)}})
	}
	return resp
}

func TestCoalesce(t *testing.T) {
	compacted := clientv3.WatchResponse{Header: &pb.ResponseHeader{Revision: 9}, Canceled: true, CompactRevision: 8}
	for _, x := range []struct {
		name   string
		first  clientv3.WatchResponse
		more   []clientv3.WatchResponse
		closed bool
		want   []int64 // the revisions of the events that are taken in together
		next   string
	}{
		{name: "nothing waits", first: response(2, 1), want: []int64{2}},
		{name: "what waits is taken along, in order", first: response(2, 1), more: []clientv3.WatchResponse{response(4, 2), response(5, 1)}, want: []int64{2, 3, 4, 5}},
		{name: "a progress notification comes after", first: response(2, 1), more: []clientv3.WatchResponse{response(3, 1), response(7, 0), response(8, 1)}, want: []int64{2, 3}, next: "progress 7"},
		{name: "nothing is taken along by one", first: response(7, 0), more: []clientv3.WatchResponse{response(8, 1)}},
		{name: "the end comes after", first: response(2, 1), more: []clientv3.WatchResponse{response(3, 1)}, closed: true, want: []int64{2, 3}, next: "closed"},
		{name: "an error comes after", first: response(2, 1), more: []clientv3.WatchResponse{compacted}, want: []int64{2}, next: "error"},
		{name: "no more than the limit", first: response(coalesceLimit, coalesceLimit), more: []clientv3.WatchResponse{response(coalesceLimit+1, 1)}, want: revisions(coalesceLimit)},
	} {
		t.Run(x.name, func(t *testing.T) {
			more := make(chan clientv3.WatchResponse, len(x.more))
			for _, r := range x.more {
				more <- r
			}
			if x.closed {
				close(more)
			}
			r := &watchResponse{x.first, true}
			next := r.coalesce(more)
			var got []int64
			for _, ev := range r.response.Events {
				got = append(got, ev.Kv.ModRevision)
			}
			if !slices.Equal(got, x.want) {
				t.Errorf("events of %v, want %v", got, x.want)
			}
			if len(got) > 0 && r.response.Header.Revision != got[len(got)-1] {
				t.Errorf("header at %d", r.response.Header.Revision)
			}
			if got := describeReceived(next); got != x.next {
				t.Errorf("next is %q, want %q", got, x.next)
			}
		})
	}
}

func revisions(n int) (all []int64) {
	for i := range n {
		all = append(all, int64(i+1))
	}
	return all
}

func describeReceived(r *watchResponse) string {
	switch {
	case r == nil:
		return ""
	case !r.ok:
		return "closed"
	case r.response.Err() != nil:
		return "error"
	case r.response.IsProgressNotify():
		return fmt.Sprintf("progress %d", r.response.Header.Revision)
	}
	return "events"
}
