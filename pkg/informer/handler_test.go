package informer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

type configMapEvent = informer.Event[*corev1.ConfigMap]

var _ = Describe("A handler", func() {
	It("can be added at any time, and gets all objects and then the changes", func(ctx SpecContext) {
		s := newStore()
		r, maps := newReplica(s)
		first := audited(maps)
		startSynced(ctx, r)
		a := configMap("a", "v", "1")
		Expect(r.WaitForRevision(ctx, create(ctx, s, a))).To(Succeed())
		second := audited(maps)
		setValue(ctx, s, a, "2")
		Eventually(first.lines).Should(Equal([]string{"ADDED a 1", "MODIFIED a 2"}))
		Eventually(second.lines).Should(Equal([]string{"ADDED a 1", "MODIFIED a 2"}))
		Expect(first.all()[0].Initial).To(BeFalse())
		Expect(second.all()[0].Initial).To(BeTrue())
	}, SpecTimeout(specTimeout))

	It("misses nothing and gets nothing twice if it is added under load", func(ctx SpecContext) {
		s := newStore()
		r, maps := newReplica(s)
		startSynced(ctx, r)
		done := make(chan struct{})
		go func() {
			defer GinkgoRecover()
			defer close(done)
			for i := range 150 {
				cm := configMap(fmt.Sprint("cm-", i%10), "v", fmt.Sprint(i))
				if i%20 < 10 {
					create(ctx, s, cm)
				} else {
					remove(ctx, s, cm)
				}
			}
		}()
		var audits []*audit[*corev1.ConfigMap]
		for range 30 {
			audits = append(audits, audited(maps))
			_, err := r.FreshSnapshot(ctx)
			Expect(err).NotTo(HaveOccurred())
		}
		Eventually(done).Should(BeClosed())
		final := inEtcd(ctx, s, "core/configmaps")
		for _, a := range audits {
			Eventually(a.received).Should(Equal(final))
		}
	}, SpecTimeout(specTimeout))

	It("is not called after its removal, and may remove itself", func(ctx SpecContext) {
		s := newStore()
		r, maps := newReplica(s)
		var calls atomic.Int32
		var reg *informer.Registration
		registered := make(chan struct{})
		reg = maps.AddHandler(func(context.Context, configMapEvent) {
			<-registered
			calls.Add(1)
			reg.Remove()
		})
		close(registered)
		observer := audited(maps)
		startSynced(ctx, r)
		create(ctx, s, configMap("a"))
		create(ctx, s, configMap("b"))
		Eventually(observer.received).Should(HaveLen(2))
		Eventually(calls.Load).Should(BeEquivalentTo(1))
		reg.Remove()
		Expect(reg.Backlog()).To(BeZero())
		Expect(r.Status().Kinds[0].Backlogs).To(HaveLen(1))
		Expect(calls.Load()).To(BeEquivalentTo(1))
	}, SpecTimeout(specTimeout))

	It("has its context cancelled when it is removed, and when the replica stops", func(ctx SpecContext) {
		s := newStore()
		create(ctx, s, configMap("a"))
		r, maps := newReplica(s)
		called, done := make(chan struct{}, 2), make(chan struct{}, 2)
		block := func(ctx context.Context, _ configMapEvent) {
			called <- struct{}{}
			<-ctx.Done()
			done <- struct{}{}
		}
		removed := maps.AddHandler(block)
		maps.AddHandler(block)
		stop := start(r)
		Eventually(called).Should(Receive())
		Eventually(called).Should(Receive())
		removed.Remove()
		Eventually(done).Should(Receive())
		stop()
		Expect(done).To(Receive(), "Run waits for handlers")
	}, SpecTimeout(specTimeout))

	It("continues where it was when the replica runs again, even within the initial objects", func(ctx SpecContext) {
		s := newStore()
		for i := range 10 {
			create(ctx, s, configMap(fmt.Sprint("cm-", i)))
		}
		r, maps := newReplica(s)
		var a audit[*corev1.ConfigMap]
		runCtx, stop := context.WithCancel(ctx)
		reg := maps.AddHandler(func(ctx context.Context, e configMapEvent) {
			a.handle(ctx, e)
			if len(a.all()) == 3 {
				stop()
			}
		})
		Expect(r.Run(runCtx)).To(Succeed())
		Expect(a.all()).To(HaveLen(3))
		Expect(reg.Backlog()).To(Equal(7))
		remove(ctx, s, configMap("cm-9"))
		start(r)
		Eventually(a.all).Should(HaveLen(11))
		Expect(a.received()).To(Equal(inEtcd(ctx, s, "core/configmaps")))
		Expect(a.found()).To(BeEmpty())
	}, SpecTimeout(specTimeout))

	It("is synced when its calls with the initial objects have returned", func(ctx SpecContext) {
		s := newStore()
		create(ctx, s, configMap("a"))
		create(ctx, s, configMap("b"))
		r, maps := newReplica(s)
		calls, release, releaseBatch := make(chan string), make(chan struct{}), make(chan struct{})
		handle := func(ctx context.Context, e configMapEvent) {
			calls <- e.Object.Name
			<-release
		}
		reg := maps.AddHandler(handle)
		none := maps.AddHandler(handle, informer.Where(func(*corev1.ConfigMap) bool { return false }))
		batches := maps.AddBatchHandler(informer.Debounce{}, func(context.Context, informer.Batch[*corev1.ConfigMap]) { <-releaseBatch })
		sites := informerFor[*site](r).AddHandler(func(context.Context, informer.Event[*site]) {})
		for _, reg := range []*informer.Registration{reg, none, batches, sites} {
			Expect(reg.Synced()).To(BeFalse(), "nothing was listed")
		}
		startSynced(ctx, r)
		Eventually(calls).Should(Receive(Equal("a")))
		Eventually(none.Synced).Should(BeTrue(), "its filter has seen all objects")
		Eventually(sites.Synced).Should(BeTrue(), "there are no objects")
		Expect(reg.Synced()).To(BeFalse(), "one is left")
		release <- struct{}{}
		Eventually(calls).Should(Receive(Equal("b")))
		Consistently(reg.Synced, "50ms").Should(BeFalse(), "the last call has not returned")
		Expect(batches.Synced()).To(BeFalse(), "the first batch has not returned")
		close(release)
		close(releaseBatch)
		Eventually(reg.Synced).Should(BeTrue())
		Eventually(batches.Synced).Should(BeTrue())

		create(ctx, s, configMap("c"))
		Eventually(calls).Should(Receive(Equal("c")))
		Expect(reg.Synced()).To(BeTrue(), "later changes do not count")
		late := maps.AddHandler(func(ctx context.Context, _ configMapEvent) { <-ctx.Done() })
		late.Remove()
		Consistently(late.Synced, "50ms").Should(BeFalse(), "it was removed before")
	}, SpecTimeout(specTimeout))

	It("is synced though it panics, and though the replica stops within the last call", func(ctx SpecContext) {
		s := newStore()
		create(ctx, s, configMap("a"))
		r, maps := newReplica(s)
		runCtx, stop := context.WithCancel(ctx)
		panicked := maps.AddHandler(func(context.Context, configMapEvent) { panic("not today") })
		stopped := maps.AddHandler(func(context.Context, configMapEvent) { stop() })
		Expect(r.Run(runCtx)).To(Succeed())
		start(r)
		Eventually(panicked.Synced).Should(BeTrue())
		Eventually(stopped.Synced).Should(BeTrue())
	}, SpecTimeout(specTimeout))

	It("that panics gets the next change, and disturbs no other", func(ctx SpecContext) {
		s := newStore()
		var log logLines
		r, maps := newReplica(s, log.logger())
		var a audit[*corev1.ConfigMap]
		maps.AddHandler(func(ctx context.Context, e configMapEvent) {
			a.handle(ctx, e)
			panic("not today")
		})
		other := audited(maps)
		startSynced(ctx, r)
		create(ctx, s, configMap("a", "v", "1"))
		create(ctx, s, configMap("b", "v", "1"))
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1", "ADDED b 1"}))
		Eventually(other.lines).Should(Equal([]string{"ADDED a 1", "ADDED b 1"}))
		Eventually(log.with("not today")).Should(HaveLen(2))
		Expect(log.with(`"key"="default/a"`)()).To(HaveLen(1))
	}, SpecTimeout(specTimeout))

	It("learns of each change that was joined, if it asks for that", func(ctx SpecContext) {
		s := newStore()
		r, maps := newReplica(s)
		asleep, awake := make(chan struct{}, 1), make(chan struct{})
		var net, joined audit[*corev1.ConfigMap]
		maps.AddHandlerWithJoined(func(ctx context.Context, e configMapEvent) {
			select {
			case asleep <- struct{}{}:
			default:
			}
			<-awake
			net.handle(ctx, e)
		}, func(e configMapEvent) {
			if r.Snapshot().Revision() < e.Revision {
				panic("the snapshot lacks the change")
			}
			joined.handle(ctx, e)
			panic("not today")
		})
		startSynced(ctx, r)
		create(ctx, s, configMap("first"))
		Eventually(asleep).Should(Receive())
		large := strings.Repeat("x", 900<<10)
		a := configMap("a", "v", "1", "fill", large)
		create(ctx, s, a)
		for _, v := range []string{"2", "3", "4"} {
			a.Data["v"] = v
			update(ctx, s, a)
		}
		b := configMap("b", "v", "1")
		create(ctx, s, b)
		enqueued(r, remove(ctx, s, b))
		Expect(joined.lines()).To(Equal([]string{"MODIFIED a 2", "MODIFIED a 3", "MODIFIED a 4", "ADDED b 1", "DELETED b 1"}))
		close(awake)
		Eventually(net.lines).Should(Equal([]string{"ADDED first ", "ADDED a 1", "MODIFIED a 4"}))
		Expect(net.all()[2].Old.Data).To(HaveKeyWithValue("v", "1"))
	}, SpecTimeout(specTimeout))

	It("that is slow delays no other, and gets the net change of each object", func(ctx SpecContext) {
		s := newStore()
		const objects, rounds = 100, 44 // more changes than informer.BacklogLimit
		r, maps := newReplica(s)
		release := make(chan struct{})
		var slow audit[*corev1.ConfigMap]
		reg := maps.AddHandler(func(ctx context.Context, e configMapEvent) {
			select {
			case <-release:
			case <-ctx.Done():
			}
			slow.handle(ctx, e)
		})
		fast := audited(maps)
		startSynced(ctx, r)
		var rev int64
		for round := range rounds {
			rev = putAll(ctx, s, objects, fmt.Sprint(round))
			Expect(reg.Backlog()).To(BeNumerically("<=", informer.BacklogLimit+objects))
			// On a busy machine even the fast handler may fall behind, and then gets net changes.
			Eventually(func() int { return len(fast.all()) }).Should(Equal(objects * (round + 1)))
		}
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Expect(reg.Backlog()).To(BeNumerically("<=", informer.BacklogLimit+objects))
		close(release)
		Eventually(slow.received).Should(Equal(inEtcd(ctx, s, "core/configmaps")))
		Expect(len(slow.all())).To(BeNumerically("<", objects*rounds))
		Expect(slow.found()).To(BeEmpty())
	}, SpecTimeout(specTimeout))
})

// putAll writes n ConfigMaps in one transaction.
func putAll(ctx context.Context, s *store.Store, n int, value string) int64 {
	GinkgoHelper()
	var puts []clientv3.Op
	for i := range n {
		cm := configMap(fmt.Sprint("cm-", i), "v", value)
		cm.APIVersion, cm.Kind = "v1", "ConfigMap"
		encoded, err := json.Marshal(cm)
		Expect(err).NotTo(HaveOccurred())
		puts = append(puts, clientv3.OpPut(s.Prefix()+"core/configmaps/default/"+cm.Name, string(encoded)))
	}
	resp, err := s.Client().Txn(ctx).Then(puts...).Commit()
	Expect(err).NotTo(HaveOccurred())
	return resp.Header.Revision
}
