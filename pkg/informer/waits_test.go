package informer_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
)

var _ = Describe("A wait", func() {
	It("for a revision without an event makes the replica ask etcd for its progress", func(ctx SpecContext) {
		r, _ := newReplica(newStore())
		startSynced(ctx, r)
		rev := put(ctx, etcd.Client(), "/elsewhere", "x")
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Expect(r.Snapshot().Revision()).To(BeNumerically(">=", rev))
	}, SpecTimeout(specTimeout))

	It("that began before the first watch is served", func(ctx SpecContext) {
		r, _ := newReplica(newStore())
		rev := put(ctx, etcd.Client(), "/elsewhere", "x") + 1
		reached := make(chan struct{})
		r.AfterRevision(rev, func() { close(reached) })
		startSynced(ctx, r)
		put(ctx, etcd.Client(), "/elsewhere", "x")
		Eventually(reached).Should(BeClosed())
	}, SpecTimeout(specTimeout))

	It("is not delayed by waits for later revisions", func(ctx SpecContext) {
		r, _ := newReplica(newStore())
		startSynced(ctx, r)
		stop := r.AfterRevision(1<<60, func() {})
		for range 20 {
			Expect(r.WaitForRevision(ctx, put(ctx, etcd.Client(), "/elsewhere", "x"))).To(Succeed())
		}
		Expect(stop()).To(BeTrue())
	}, SpecTimeout(specTimeout))

	It("ends when its context is done, and leaves nothing behind", func(ctx SpecContext) {
		r, _ := newReplica(newStore())
		startSynced(ctx, r)
		waitCtx, cancel := context.WithCancel(ctx)
		var waiting sync.WaitGroup
		for range 10 {
			waiting.Go(func() {
				defer GinkgoRecover()
				err := r.WaitForRevision(waitCtx, 1<<60)
				Expect(err).To(MatchError(context.Canceled))
				Expect(err).To(MatchError(ContainSubstring("wait for revision 1152921504606846976, at ")))
			})
		}
		Eventually(func() int { return informer.Waiting(r) }).Should(Equal(10))
		cancel()
		waiting.Wait()
		Expect(informer.Waiting(r)).To(BeZero())
		Expect(r.WaitForRevision(waitCtx, r.Snapshot().Revision())).To(Succeed(), "reached is reached")
		_, err := r.FreshSnapshot(waitCtx)
		Expect(err).To(MatchError(context.Canceled))
	}, SpecTimeout(specTimeout))

	It("with AfterRevision calls once, or never after a stop", func(ctx SpecContext) {
		r, _ := newReplica(newStore())
		startSynced(ctx, r)
		rev := put(ctx, etcd.Client(), "/elsewhere", "x")
		var calls, stopped atomic.Int32
		stop := r.AfterRevision(rev+1, func() { stopped.Add(1) })
		Expect(stop()).To(BeTrue())
		Expect(stop()).To(BeFalse())
		late := r.AfterRevision(rev+1, func() { calls.Add(1) })
		put(ctx, etcd.Client(), "/elsewhere", "x")
		Eventually(calls.Load).Should(BeEquivalentTo(1))
		Expect(late()).To(BeFalse())
		Expect(r.AfterRevision(rev, func() { calls.Add(1) })()).To(BeFalse())
		Expect(calls.Load()).To(BeEquivalentTo(2), "called at once")
		Expect(stopped.Load()).To(BeZero())
	}, SpecTimeout(specTimeout))

	It("may begin within the call of another one", func(ctx SpecContext) {
		s := newStore()
		r, maps := newReplica(s)
		startSynced(ctx, r)
		rev := put(ctx, etcd.Client(), "/elsewhere", "x")
		reached := make(chan struct{})
		r.AfterRevision(rev, func() {
			audited(maps).handle(ctx, configMapEvent{Object: configMap("any"), Type: "ADDED"})
			r.AfterRevision(rev, func() { close(reached) })
		})
		Eventually(reached).Should(BeClosed())
	}, SpecTimeout(specTimeout))

	It("for a fresh snapshot sees every write that has returned", func(ctx SpecContext) {
		s := newStore()
		r, maps := newReplica(s)
		startSynced(ctx, r)
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				defer GinkgoRecover()
				for i := range 25 {
					name := fmt.Sprintf("cm-%d-%d", w, i)
					create(ctx, s, configMap(name))
					fresh, err := r.FreshSnapshot(ctx)
					Expect(err).NotTo(HaveOccurred())
					_, ok := maps.Get(fresh, key(name))
					Expect(ok).To(BeTrue(), name)
				}
			})
		}
		writers.Wait()
	}, SpecTimeout(specTimeout))
})

// pastKV once answers with an old revision, as an etcd that was just restored.
// When the replica checks, the revision has passed the replica's.
type pastKV struct {
	clientv3.KV
	back atomic.Bool
}

func (p *pastKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	resp, err := p.KV.Get(ctx, key, opts...)
	if err == nil && p.back.Swap(false) {
		resp.Header.Revision = 1
	}
	return resp, err
}

var _ = Describe("A fresh snapshot of an etcd that went back", func() {
	It("comes after a relist, although etcd's revision has passed the replica's", func(ctx SpecContext) {
		_, behind, _ := linked(etcd)
		kv := &pastKV{KV: behind.Client().KV}
		behind.Client().KV = kv
		create(ctx, behind, configMap("a", "v", "1"))
		r, maps := newReplica(behind)
		a := audited(maps)
		startSynced(ctx, r)
		kv.back.Store(true)
		for range 2 {
			fresh, err := r.FreshSnapshot(ctx)
			Expect(err).NotTo(HaveOccurred())
			Expect(maps.Len(fresh)).To(Equal(1))
		}
		Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1, "revision went back": 1}))
		Expect(r.WaitForRevision(ctx, create(ctx, behind, configMap("b", "v", "1")))).To(Succeed())
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1", "ADDED b 1"}))
	}, SpecTimeout(specTimeout))
})

var _ = Describe("Run", func() {
	It("runs once at a time", func(ctx SpecContext) {
		r, _ := newReplica(newStore())
		stop := startSynced(ctx, r)
		Expect(r.Run(ctx)).To(MatchError(ContainSubstring("while the replica runs")))
		stop()
		startSynced(ctx, r)
	}, SpecTimeout(specTimeout))

	It("returns at once when it is cancelled before the first list", func(ctx SpecContext) {
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		r, _ := newReplica(newStore())
		Expect(r.Run(cancelled)).To(Succeed())
		empty := informer.NewReplica(newStore(), informer.Options{})
		Expect(empty.Run(cancelled)).To(Succeed())
		stop := start(empty)
		Eventually(func() bool { return informer.Running(empty) }).Should(BeTrue())
		stop()
	}, SpecTimeout(specTimeout))

	It("returns at once when it is cancelled while etcd cannot be reached, or does not answer", func(ctx SpecContext) {
		link, behind, _ := linked(etcd)
		for _, fault := range []func(){link.Cut, link.Freeze} {
			fault()
			r, _ := newReplica(behind)
			informer.Await(r, time.Hour)
			stop := start(r)
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			Expect(r.WaitForSync(short)).To(MatchError(context.DeadlineExceeded))
			cancel()
			stop()
		}
	}, SpecTimeout(specTimeout))

	It("recovers once etcd is reachable, and reports until then why it has not listed", func(ctx SpecContext) {
		client, err := etcd.NewClient(etcdtest.ClientOptions{Endpoints: []string{"unix:///nowhere"}})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(client.Close)
		r, _ := newReplica(newStoreOn(client))
		informer.Await(r, impatient)
		start(r)
		Eventually(replicaErr(r)).Should(HaveOccurred())
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		err = r.WaitForSync(short)
		Expect(err).To(MatchError(context.DeadlineExceeded))
		Expect(err).To(MatchError(ContainSubstring("/core/configmaps/")))
		Expect(err).To(MatchError(ContainSubstring("the replica is disturbed since")))
		Expect(err).To(MatchError(ContainSubstring("nowhere")))
		client.SetEndpoints(etcd.Endpoints()...)
		Expect(r.WaitForSync(ctx)).To(Succeed())
	}, SpecTimeout(specTimeout))

	It("is what a wait names as missing if the replica does not run", func(ctx SpecContext) {
		r, _ := newReplica(newStore())
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		Expect(r.WaitForSync(short)).To(MatchError(ContainSubstring("the replica does not run")))
	}, SpecTimeout(specTimeout))
})
