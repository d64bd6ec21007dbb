package test

import (
	"context"
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// crashWitness watches all keys from the first revision on: nothing is compacted
// here. It watches from the beginning, since etcd is slow in telling of what is
// long past.
type crashWitness struct {
	client *clientv3.Client
	events []*clientv3.Event
	err    error
	ended  chan struct{} // closed after the last write of the above
}

// witnessEnd is the key whose creation is the end of the history.
const witnessEnd = "/witness/end"

func newCrashWitness(ctx context.Context, c *etcdtest.Cluster) *crashWitness {
	GinkgoHelper()
	client, err := c.NewClient(etcdtest.ClientOptions{})
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(ctx)
	w := &crashWitness{client: client, ended: make(chan struct{})}
	go w.run(ctx)
	DeferCleanup(func() {
		cancel()
		<-w.ended
		Expect(client.Close()).To(Succeed())
	})
	return w
}

func (w *crashWitness) run(ctx context.Context) {
	defer close(w.ended)
	for resp := range w.client.Watch(ctx, "/", clientv3.WithPrefix(), clientv3.WithRev(1)) {
		if w.err = resp.Err(); w.err != nil {
			return
		}
		for _, ev := range resp.Events {
			if string(ev.Kv.Key) == witnessEnd {
				return
			}
			w.events = append(w.events, ev)
		}
	}
	w.err = errors.New("the watch has ended before the history")
}

// all returns all events until now, in order. It may be called once.
func (w *crashWitness) all(ctx context.Context) []*clientv3.Event {
	GinkgoHelper()
	Expect(w.client.Put(ctx, witnessEnd, "")).Error().NotTo(HaveOccurred())
	Eventually(w.ended).Should(BeClosed())
	Expect(w.err).NotTo(HaveOccurred())
	return w.events
}
