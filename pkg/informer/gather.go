package informer

import (
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// gatherLimit is how many events are taken in at once at most, unless etcd sends
// more at once. Publishing a snapshot has what changes next copied first, which is
// most of what an event costs; waiting for many to be decoded would make each late.
const gatherLimit = 32

// received is what was read of a watch.
type received struct {
	response clientv3.WatchResponse
	ok       bool // the watch goes on
}

// take takes in a response, and with it those that have come meanwhile, so that a
// replica that has fallen behind publishes once for all of them.
func (f *reflector) take(first received, more clientv3.WatchChan) error {
	for r := &first; r != nil; {
		if err := etcd.WatchError(r.response, r.ok); err != nil {
			return err
		}
		next := r.gather(more)
		if err := f.apply(r.response); err != nil {
			return err
		}
		f.inflow.applied(r.response.Events)
		r = next
	}
	return nil
}

// gather adds the events of the responses that are there already. It returns the
// first response that tells something else, which has to come after.
func (r *received) gather(more clientv3.WatchChan) (next *received) {
	for len(r.response.Events) > 0 && len(r.response.Events) < gatherLimit {
		select {
		case resp, ok := <-more:
			if !ok || resp.Err() != nil || len(resp.Events) == 0 {
				return &received{resp, ok}
			}
			r.response.Header = resp.Header
			r.response.Events = append(r.response.Events, resp.Events...)
		default:
			return nil
		}
	}
	return nil
}
