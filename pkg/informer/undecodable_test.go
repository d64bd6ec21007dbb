package informer_test

import (
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/informer"
)

var _ = Describe("Many values that cannot be decoded", func() {
	It("are logged by kind and cause, not one by one", func(ctx SpecContext) {
		s := newStore()
		// rewrite puts sites of a version, and returns the revision.
		rewrite := func(from, to int, version string) (revision int64) {
			GinkgoHelper()
			for names := range slices.Chunk(slices.Collect(func(yield func(int) bool) {
				for i := from; i < to && yield(i); i++ {
				}
			}), 100) {
				var puts []clientv3.Op
				for _, i := range names {
					name := fmt.Sprintf("site-%04d", i)
					puts = append(puts, clientv3.OpPut(s.Prefix()+"example.com/sites/default/"+name, fmt.Sprintf(
						`{"kind":"Site","apiVersion":"example.com/%s","metadata":{"namespace":"default","name":%q}}`, version, name)))
				}
				resp, err := s.Client().Txn(ctx).Then(puts...).Commit()
				Expect(err).NotTo(HaveOccurred())
				revision = resp.Header.Revision
			}
			return revision
		}
		rewrite(0, 2000, "v1")
		var log logLines
		r := newBareReplica(s, log.logger())
		sites := informerFor[*site](r)
		startSynced(ctx, r)
		complaints := log.with("cannot be decoded")

		Expect(r.WaitForRevision(ctx, rewrite(0, 1600, "v2"))).To(Succeed())
		Expect(r.Status().Undecodable).To(HaveLen(1600))
		Expect(sites.Len(r.Snapshot())).To(Equal(2000))
		Expect(complaints()).To(HaveLen(1))

		Expect(informer.LogUndecodable(r)).To(BeTrue())
		Expect(complaints()).To(HaveLen(2))
		Expect(complaints()[1]).To(And(ContainSubstring(`"keys"=1600`), ContainSubstring("site-0000"), ContainSubstring(`"kind"="Site"`)))
		Expect(informer.LogUndecodable(r)).To(BeTrue())
		Expect(complaints()).To(HaveLen(2), "nothing has changed")

		Expect(r.WaitForRevision(ctx, rewrite(0, 1600, "v1"))).To(Succeed())
		Expect(r.WaitForRevision(ctx, rewrite(0, 1600, "v2"))).To(Succeed())
		Expect(complaints()).To(HaveLen(2), "the versions go back and forth")
		Expect(r.WaitForRevision(ctx, rewrite(0, 1600, "v1"))).To(Succeed())
		Expect(informer.LogUndecodable(r)).To(BeFalse())
		Expect(complaints()).To(HaveLen(2))
		Expect(log.with("can be decoded again")()).To(HaveLen(1))

		By("a list")
		rewrite(0, 1600, "v3")
		var other logLines
		next := newBareReplica(s, other.logger())
		informerFor[*site](next)
		startSynced(ctx, next)
		Expect(next.Status().Undecodable).To(HaveLen(1600))
		Expect(other.with("cannot be decoded")()).To(HaveLen(1))
	}, SpecTimeout(specTimeout))

	It("with as many causes are logged as other causes", func(ctx SpecContext) {
		s := newStore()
		var log logLines
		r, _ := newReplica(s, log.logger())
		startSynced(ctx, r)
		var last int64
		for i := range 50 {
			last = put(ctx, s.Client(), fmt.Sprint(s.Prefix(), "core/configmaps/default/m-", i), strings.Repeat(" ", i)+"{")
		}
		Expect(r.WaitForRevision(ctx, last)).To(Succeed())
		Expect(r.Status().Undecodable).To(HaveLen(50))
		Expect(len(log.with("cannot be decoded")())).To(BeNumerically("<=", 5))
		before := len(log.with("cannot be decoded")())
		informer.LogUndecodable(r)
		Expect(len(log.with("cannot be decoded")()) - before).To(BeNumerically("<=", 5))
	}, SpecTimeout(specTimeout))

	It("are told by key until a snapshot shows what followed", func(ctx SpecContext) {
		s := newStore()
		r, maps := newReplica(s)
		a := s.Prefix() + "core/configmaps/default/a"
		create(ctx, s, configMap("a", "v", "1"))
		good := getRaw(ctx, s, "a")
		startSynced(ctx, r)
		Expect(maps.Undecodable(key("a"))).To(Succeed())
		Expect(maps.AfterDecodable(key("a"), func() {})()).To(BeFalse())

		bad := func() {
			GinkgoHelper()
			revision := put(ctx, s.Client(), a, "{")
			Expect(r.WaitForRevision(ctx, revision)).To(Succeed())
			Expect(maps.Undecodable(key("a"))).To(MatchError(And(ContainSubstring(a), ContainSubstring(fmt.Sprint(revision)))))
		}
		// seen receives the revision of the snapshot when the wait ends.
		wait := func() (seen chan int64, stop func() bool) {
			seen = make(chan int64, 1)
			return seen, maps.AfterDecodable(key("a"), func() {
				Expect(maps.Undecodable(key("a"))).To(Succeed())
				seen <- r.Snapshot().Revision()
			})
		}
		bad()
		first, _ := wait()
		stopped, stop := wait()
		second, _ := wait()
		Expect(stop()).To(BeTrue())
		Expect(stop()).To(BeFalse())
		bad()
		Expect(first).NotTo(Receive())
		decodable := put(ctx, s.Client(), a, good)
		Eventually(first).Should(Receive(BeNumerically(">=", decodable)))
		Eventually(second).Should(Receive())
		Expect(stopped).NotTo(Receive())

		bad()
		gone, _ := wait()
		Expect(s.Client().Delete(ctx, a)).Error().NotTo(HaveOccurred())
		Eventually(gone).Should(Receive())
		Eventually(func() int { return len(r.Status().Undecodable) }).Should(BeZero())
	}, SpecTimeout(specTimeout))

	It("end with a list too", func(ctx SpecContext) {
		s := newStore()
		a := s.Prefix() + "core/configmaps/default/a"
		put(ctx, s.Client(), a, "{")
		r, maps := newReplica(s)
		stop := startSynced(ctx, r)
		Expect(maps.Undecodable(key("a"))).NotTo(Succeed())
		seen := make(chan struct{})
		maps.AfterDecodable(key("a"), func() { close(seen) })
		stop()
		Expect(s.Client().Delete(ctx, a)).Error().NotTo(HaveOccurred())
		compact(ctx, s.Client())
		Expect(maps.Undecodable(key("a"))).NotTo(Succeed())
		startSynced(ctx, r)
		Eventually(seen).Should(BeClosed())
		Expect(maps.Undecodable(key("a"))).To(Succeed())
	}, SpecTimeout(specTimeout))
})
