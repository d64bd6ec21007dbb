package test

import (
	"context"
	"encoding/json"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
)

const podsPrefix = "/registry/core/pods/"

// history has the Pods at one revision.
type history struct{ pods map[string]corev1.Pod }

// active returns how many Pods are not being deleted.
func (h history) active() int {
	n := 0
	for _, pod := range h.pods {
		if pod.DeletionTimestamp == nil {
			n++
		}
	}
	return n
}

// ready returns how many Pods are ready and not being deleted.
func (h history) ready() int {
	n := 0
	for _, pod := range h.pods {
		if pod.DeletionTimestamp != nil {
			continue
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				n++
			}
		}
	}
	return n
}

func (w *world) revision(ctx context.Context) int64 {
	GinkgoHelper()
	resp, err := w.client.Get(ctx, "/")
	Expect(err).NotTo(HaveOccurred())
	return resp.Header.Revision
}

// events reads all events below a prefix, with a raw watch from the first revision.
// Nothing is compacted here.
func (w *world) events(ctx context.Context, prefix string) []*clientv3.Event {
	GinkgoHelper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	marker, err := w.client.Put(ctx, prefix+"~", "")
	Expect(err).NotTo(HaveOccurred())
	_, err = w.client.Delete(ctx, prefix+"~")
	Expect(err).NotTo(HaveOccurred())
	var events []*clientv3.Event
	for resp := range w.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(1)) {
		Expect(resp.Err()).NotTo(HaveOccurred())
		for _, ev := range resp.Events {
			if ev.Kv.ModRevision == marker.Header.Revision {
				return events
			}
			if string(ev.Kv.Key) != prefix+"~" {
				events = append(events, ev)
			}
		}
	}
	Fail("the watch ended before the marker")
	return nil
}

// created returns all keys that were ever created below a prefix.
func (w *world) created(ctx context.Context, prefix string) []string {
	GinkgoHelper()
	var keys []string
	for _, ev := range w.events(ctx, prefix) {
		if ev.IsCreate() {
			keys = append(keys, string(ev.Kv.Key))
		}
	}
	return keys
}

// replay calls check with the Pods after each revision that changed one.
func (w *world) replay(ctx context.Context, check func(revision int64, h history)) {
	GinkgoHelper()
	events := w.events(ctx, podsPrefix)
	h := history{pods: map[string]corev1.Pod{}}
	for i, ev := range events {
		if ev.Type == mvccpb.DELETE {
			delete(h.pods, string(ev.Kv.Key))
		} else {
			var pod corev1.Pod
			Expect(json.Unmarshal(ev.Kv.Value, &pod)).To(Succeed())
			h.pods[string(ev.Kv.Key)] = pod
		}
		if i+1 == len(events) || events[i+1].Kv.ModRevision != ev.Kv.ModRevision {
			check(ev.Kv.ModRevision, h)
		}
	}
}
