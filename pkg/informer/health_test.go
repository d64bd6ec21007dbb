package informer_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/homeostat/homeostat/pkg/informer"
)

var _ = Describe("The status of a replica", func() {
	currentAt := func(r *informer.Replica) func() time.Time {
		return func() time.Time { return r.Status().CurrentAt }
	}

	It("shows that it is up to date, while others write all the time", func(ctx SpecContext) {
		s := newStore()
		r, _ := newReplica(s)
		startSynced(ctx, r)
		for range 3 {
			burn(ctx, s.Client(), 50)
			Eventually(currentAt(r)).Should(BeTemporally(">", time.Now()))
		}
		st := r.Status()
		Expect(st.Revision).To(BeNumerically(">=", 150))
		Expect(st.EtcdRevision).To(BeNumerically(">=", st.Revision))
		Expect(st.Lag).To(BeNumerically("<", specTimeout))
		Expect(r.Healthy(specTimeout)).To(Succeed())
	}, SpecTimeout(specTimeout))

	It("shows since when it lags, and why", func(ctx SpecContext) {
		link, behind, direct := linked(etcd)
		r, _ := newReplica(behind)
		startSynced(ctx, r)
		Eventually(func() error { return r.Healthy(specTimeout) }).Should(Succeed())

		cutOff(ctx, link, r)
		lost := time.Now()
		rev := create(ctx, direct, configMap("a"))
		Eventually(func() error { return r.Healthy(time.Millisecond) }).Should(MatchError(Or(
			ContainSubstring("the connection to etcd was lost"), ContainSubstring("no answer from etcd"), // the first failure, and the next
			ContainSubstring("connection refused"))))
		Expect(r.Status().CurrentAt).To(BeTemporally("<", lost))

		link.Heal()
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Eventually(currentAt(r)).Should(BeTemporally(">", lost))
		Eventually(func() error { return r.Healthy(specTimeout) }).Should(Succeed())
		Expect(r.Status().LastErr).To(HaveOccurred())
	}, SpecTimeout(specTimeout))

	It("shows that it does not run, or has not listed yet", func(ctx SpecContext) {
		link, behind, _ := linked(etcd)
		r := informer.Hasten(informer.NewReplica(behind, informer.Options{}))
		informer.Await(r, impatient)
		Expect(r.Healthy(specTimeout)).To(MatchError(ContainSubstring("does not run")))
		stop := start(r)
		Eventually(func() error { return r.Healthy(specTimeout) }).Should(MatchError(ContainSubstring("no kinds")))
		link.Cut()
		informerFor[*site](r)
		Eventually(func() error { return r.Healthy(specTimeout) }).Should(MatchError(And(
			ContainSubstring("has not listed "+behind.Prefix()+"example.com/sites/"), ContainSubstring("no answer from etcd"))))
		link.Heal()
		Eventually(func() error { return r.Healthy(specTimeout) }).Should(Succeed())
		stop()
		Expect(r.Healthy(specTimeout)).To(MatchError(ContainSubstring("does not run")))
	}, SpecTimeout(specTimeout))

	It("is healthy while it lists an added kind, unless it lags", func(ctx SpecContext) {
		link, behind, _ := linked(etcd)
		r, _ := newReplica(behind)
		startSynced(ctx, r)
		Eventually(func() error { return r.Healthy(specTimeout) }).Should(Succeed())
		link.Cut()
		informerFor[*site](r)
		Expect(r.Healthy(specTimeout)).To(Succeed())
		Eventually(func() error { return r.Healthy(time.Millisecond) }).Should(MatchError(
			ContainSubstring("has not listed " + behind.Prefix() + "example.com/sites/")))
		Expect(r.Healthy(specTimeout)).To(Succeed())
		link.Heal()
		Expect(r.WaitForSync(ctx)).To(Succeed())
		Eventually(func() error { return r.Healthy(specTimeout) }).Should(Succeed())
	}, SpecTimeout(specTimeout))

	It("comes with a log line about old servers, once for each run", func(ctx SpecContext) {
		etcd := &scriptedEtcd{version: "3.5.9", script: func(ctx context.Context) *pb.WatchResponse {
			<-ctx.Done()
			return nil
		}}
		var log logLines
		r, _ := newReplica(storeAt(etcd.serve(), "/old/"), log.logger())
		for runs := range 2 {
			stop := startSynced(ctx, r)
			Eventually(log.with("should be upgraded")).Should(HaveLen(runs + 1))
			stop()
		}
		Expect(log.with("3.5.9")()).To(HaveLen(2))
		Expect(log.with("lose, repeat or disorder")()).To(HaveLen(2))
	}, SpecTimeout(specTimeout))
})
