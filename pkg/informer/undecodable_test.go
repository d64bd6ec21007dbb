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
})
