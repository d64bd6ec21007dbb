package informer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

type mapBatch = informer.Batch[*corev1.ConfigMap]

// batches is a handler that keeps the batches that it receives.
type batches struct {
	audit audit[*corev1.ConfigMap]

	mu       sync.Mutex
	received []mapBatch
}

func (b *batches) handle(ctx context.Context, batch mapBatch) {
	for _, e := range batch.Events {
		b.audit.handle(ctx, e)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.received = append(b.received, batch)
}

// lines returns a line for each batch.
func (b *batches) lines() []string {
	var lines []string
	for _, batch := range b.all() {
		line := fmt.Sprintf("%d", len(batch.Events))
		for _, e := range batch.Events {
			line += fmt.Sprintf(" %s %s %s", e.Type, e.Object.Name, e.Object.Data["v"])
		}
		lines = append(lines, line)
	}
	return lines
}

func (b *batches) revisions() []int64 {
	var revisions []int64
	for _, batch := range b.all() {
		revisions = append(revisions, batch.Revision)
	}
	return revisions
}

func (b *batches) all() []mapBatch {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.received)
}

var _ = Describe("A handler of batches", func() {
	It("gets all objects, and then the net change of each interval", func(ctx SpecContext) {
		s := newStore()
		a, b := configMap("a", "v", "1"), configMap("b", "v", "1")
		create(ctx, s, a)
		first := create(ctx, s, b)
		// The time of windows is that of the replica's clock, which stands here.
		clock := clocktesting.NewFakeClock(time.Unix(0, 0))
		r := informer.NewReplica(s, informer.Options{Clock: clock})
		maps := informerFor[*corev1.ConfigMap](r)
		var received batches
		reg := maps.AddBatchHandler(informer.Debounce{Quiet: time.Second}, received.handle)
		startSynced(ctx, r)
		Eventually(received.lines).Should(Equal([]string{"2 ADDED a 1 ADDED b 1"}))
		Expect(received.all()[0].Initial).To(BeTrue())
		Expect(received.all()[0].Revision).To(BeNumerically(">=", first))

		setValue(ctx, s, a, "2")
		create(ctx, s, configMap("passing"))
		setValue(ctx, s, b, "2")
		remove(ctx, s, configMap("passing"))
		remove(ctx, s, a)
		create(ctx, s, configMap("a", "v", "3"))
		last := setValue(ctx, s, b, "3")
		enqueued(r, last)
		Expect(reg.Backlog()).To(Equal(2))
		Consistently(received.lines, "50ms").Should(HaveLen(1), "the time stands still")
		Eventually(func() []string {
			clock.Step(100 * time.Millisecond)
			return received.lines()
		}).Should(HaveLen(2))
		Expect(received.lines()[1]).To(Equal("3 DELETED a 1 ADDED a 3 MODIFIED b 3"))
		Expect(received.revisions()[1]).To(Equal(last))
		Expect(received.audit.found()).To(BeEmpty())
	}, SpecTimeout(specTimeout))

	It("has single changes if its handler asks for that, and comes even if all have cancelled out", func(ctx SpecContext) {
		s := newStore()
		clock := clocktesting.NewFakeClock(time.Unix(0, 0))
		r := informer.NewReplica(s, informer.Options{Clock: clock})
		maps := informerFor[*corev1.ConfigMap](r)
		var received batches
		var joined audit[*corev1.ConfigMap]
		maps.AddBatchHandlerWithJoined(informer.Debounce{Max: time.Second}, received.handle,
			func(e configMapEvent) { joined.handle(ctx, e) })
		startSynced(ctx, r)
		Eventually(received.lines).Should(HaveLen(1))
		next := func(revision int64, n int) string {
			GinkgoHelper()
			enqueued(r, revision)
			Consistently(received.lines, "50ms").Should(HaveLen(n), "the time stands still")
			Eventually(func() []string {
				clock.Step(100 * time.Millisecond)
				return received.lines()
			}).Should(HaveLen(n + 1))
			Expect(received.revisions()[n]).To(Equal(revision))
			return received.lines()[n]
		}
		a := configMap("a", "v", "1")
		create(ctx, s, a)
		Expect(next(setValue(ctx, s, a, "2"), 1)).To(HaveSuffix("ADDED a 1 MODIFIED a 2"))
		Expect(joined.lines()).To(BeEmpty(), "it is not far behind")

		passing := configMap("passing", "v", strings.Repeat("x", 1200<<10))
		create(ctx, s, passing)
		Expect(next(remove(ctx, s, passing), 2)).NotTo(ContainSubstring("ED "))
		Expect(joined.all()).To(HaveLen(2))
		Expect(next(setValue(ctx, s, a, "3"), 3)).To(HaveSuffix("MODIFIED a 3"))
	}, SpecTimeout(specTimeout))

	It("gets an empty first batch, and no further one before a change", func(ctx SpecContext) {
		s := newStore()
		r, maps := newReplica(s)
		var received batches
		maps.AddBatchHandler(informer.Debounce{}, received.handle, valueIs("1"))
		all := audited(maps)
		startSynced(ctx, r)
		Eventually(received.lines).Should(Equal([]string{"0"}))
		a := configMap("a", "v", "2")
		create(ctx, s, a)
		setValue(ctx, s, a, "1")
		setValue(ctx, s, a, "2")
		Eventually(all.lines).Should(HaveLen(3))
		remove(ctx, s, a)
		create(ctx, s, configMap("b", "v", "1"))
		Eventually(received.lines).Should(ContainElement("1 ADDED b 1"))
		Expect(received.lines()).NotTo(ContainElement(ContainSubstring("a 2")))
		Expect(received.audit.found()).To(BeEmpty())
	}, SpecTimeout(specTimeout))

	It("never sees a part of a transaction, over a relist in between and when it is slow", func(ctx SpecContext) {
		const objects, rounds = 20, 40
		link, behind, direct := linked(etcd)
		r, maps := newReplica(behind)
		var received batches
		var torn []string
		known := map[string]string{}
		maps.AddBatchHandler(informer.Debounce{}, func(ctx context.Context, b mapBatch) {
			received.handle(ctx, b)
			values := map[string]bool{}
			for _, e := range b.Events {
				known[e.Object.Name] = e.Object.Data["v"]
			}
			for _, v := range known {
				values[v] = true
			}
			if len(values) > 1 {
				torn = append(torn, fmt.Sprintf("at %d: %v", b.Revision, known))
			}
			_, _ = r.FreshSnapshot(ctx) // takes its time; fails when the spec ends
		})
		stop := startSynced(ctx, r)
		var last int64
		for round := range rounds {
			last = putAll(ctx, direct, objects, fmt.Sprint(round))
			if round == rounds/2 {
				Expect(r.WaitForRevision(ctx, last)).To(Succeed())
				cutOff(ctx, link, r)
			}
			if round == rounds/2+5 {
				compact(ctx, etcd.Client())
				link.Heal()
			}
		}
		Expect(r.WaitForRevision(ctx, last)).To(Succeed())
		Eventually(received.audit.received).Should(Equal(inEtcd(ctx, direct, "core/configmaps")))
		Expect(relists(r)()).To(HaveKey("compacted"))
		stop()
		Expect(torn).To(BeEmpty())
		Expect(received.audit.found()).To(BeEmpty())
		revisions := received.revisions()
		Expect(revisions).To(ContainElement(last))
		for i := range revisions[1:] {
			Expect(revisions[i]).To(BeNumerically("<", revisions[i+1]))
		}
	}, SpecTimeout(specTimeout))

	It("gets the changes made while the replica did not run, and not again a batch that it panicked over", func(ctx SpecContext) {
		s := newStore()
		a := configMap("a", "v", "1")
		create(ctx, s, a)
		create(ctx, s, configMap("b", "v", "1"))
		var log logLines
		r, maps := newReplica(s, log.logger())
		var received batches
		maps.AddBatchHandler(informer.Debounce{Quiet: time.Millisecond}, func(ctx context.Context, b mapBatch) {
			received.handle(ctx, b)
			panic("not today")
		})
		stop := startSynced(ctx, r)
		Eventually(received.lines).Should(Equal([]string{"2 ADDED a 1 ADDED b 1"}))
		stop()
		setValue(ctx, s, a, "2")
		remove(ctx, s, configMap("b"))
		rev := create(ctx, s, configMap("c", "v", "1"))
		startSynced(ctx, r)
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Eventually(received.audit.received).Should(Equal(inEtcd(ctx, s, "core/configmaps")))
		Expect(received.audit.found()).To(BeEmpty())
		Eventually(func() int { return len(log.with("not today")()) - len(received.lines()) }).Should(BeZero())
		Expect(log.with(`"revision"=`)()).NotTo(BeEmpty())
	}, SpecTimeout(specTimeout))

	It("is not called after its removal, may remove itself, and has its context cancelled", func(ctx SpecContext) {
		s := newStore()
		r, maps := newReplica(s)
		var reg *informer.Registration
		registered, calls := make(chan struct{}), make(chan error, 10)
		reg = maps.AddBatchHandler(informer.Debounce{}, func(ctx context.Context, b mapBatch) {
			<-registered
			reg.Remove()
			<-ctx.Done()
			calls <- ctx.Err()
		})
		close(registered)
		all := audited(maps)
		startSynced(ctx, r)
		Eventually(calls).Should(Receive(MatchError(context.Canceled)))
		create(ctx, s, configMap("a", "v", "1"))
		Eventually(all.lines).Should(HaveLen(1))
		Expect(r.Status().Kinds[0].Backlogs).To(HaveLen(1))
		Expect(reg.Backlog()).To(BeZero())
		Expect(calls).NotTo(Receive())
	}, SpecTimeout(specTimeout))

	It("delays no other handler, and keeps no more changes than objects", func(ctx SpecContext) {
		s := newStore()
		const objects, rounds = 100, 15
		r, maps := newReplica(s)
		release := make(chan struct{})
		var received batches
		reg := maps.AddBatchHandler(informer.Debounce{}, func(ctx context.Context, b mapBatch) {
			received.handle(ctx, b)
			select {
			case <-release:
			case <-ctx.Done():
			}
		})
		fast := audited(maps)
		startSynced(ctx, r)
		Eventually(received.lines).Should(HaveLen(1))
		var rev int64
		for round := range rounds {
			rev = putAll(ctx, s, objects, fmt.Sprint(round))
			Expect(reg.Backlog()).To(BeNumerically("<=", objects))
		}
		Eventually(func() int { return len(fast.all()) }).Should(Equal(objects * rounds))
		Expect(reg.Backlog()).To(Equal(objects), "it had each change before the other handler")
		close(release)
		Eventually(received.revisions).Should(HaveLen(2))
		Expect(received.revisions()[1]).To(Equal(rev))
		Expect(received.audit.received()).To(Equal(inEtcd(ctx, s, "core/configmaps")))
	}, SpecTimeout(specTimeout))

	It("gets the deletion of a whole prefix in one batch", func(ctx SpecContext) {
		s := newStore()
		putAll(ctx, s, 50, "1")
		r, maps := newReplica(s)
		var received batches
		maps.AddBatchHandler(informer.Debounce{}, received.handle)
		startSynced(ctx, r)
		Eventually(received.revisions).Should(HaveLen(1))
		resp, err := s.Client().Delete(ctx, s.Prefix(), clientv3.WithPrefix())
		Expect(err).NotTo(HaveOccurred())
		Eventually(received.revisions).Should(HaveLen(2))
		Expect(received.revisions()[1]).To(Equal(resp.Header.Revision))
		Expect(received.all()[1].Events).To(HaveLen(50))
		Expect(received.all()[1].Events[0].Type).To(Equal(store.Deleted))
		Expect(received.audit.received()).To(BeEmpty())
	}, SpecTimeout(specTimeout))
})
