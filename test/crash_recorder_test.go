package test

import (
	"context"
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// crashRecorder records all events from the first revision on; nothing is compacted
// here. It watches during the whole run, because etcd replays a long history slowly.
type crashRecorder struct {
	client *clientv3.Client
	events []*clientv3.Event
	err    error
	ended  chan struct{} // closed after the last write to the fields above
}

// historyEnd is the key whose creation ends the history.
const historyEnd = "/history/end"

func newCrashRecorder(ctx context.Context, c *etcdtest.Cluster) *crashRecorder {
	GinkgoHelper()
	client, err := c.NewClient(etcdtest.ClientOptions{})
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(ctx)
	w := &crashRecorder{client: client, ended: make(chan struct{})}
	go w.run(ctx)
	DeferCleanup(func() {
		cancel()
		<-w.ended
		Expect(client.Close()).To(Succeed())
	})
	return w
}

func (w *crashRecorder) run(ctx context.Context) {
	defer close(w.ended)
	for resp := range w.client.Watch(ctx, "/", clientv3.WithPrefix(), clientv3.WithRev(1)) {
		if w.err = resp.Err(); w.err != nil {
			return
		}
		for _, ev := range resp.Events {
			if string(ev.Kv.Key) == historyEnd {
				return
			}
			w.events = append(w.events, ev)
		}
	}
	w.err = errors.New("the watch ended before the history")
}

// all returns all events so far, in order. Call it only once.
func (w *crashRecorder) all(ctx context.Context) []*clientv3.Event {
	GinkgoHelper()
	Expect(w.client.Put(ctx, historyEnd, "")).Error().NotTo(HaveOccurred())
	Eventually(w.ended).Should(BeClosed())
	Expect(w.err).NotTo(HaveOccurred())
	return w.events
}
