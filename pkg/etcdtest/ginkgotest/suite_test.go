// Package ginkgotest shows that a Ginkgo suite can share one cluster and check every
// spec for leaks. Copy its pattern.
package ginkgotest

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

func TestSuite(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "etcdtest in Ginkgo")
}

var _ = Describe("A shared cluster", func() {
	var cluster *etcdtest.Cluster

	BeforeEach(OncePerOrdered, func() {
		etcdtest.VerifyNoLeaks(GinkgoT())
	})

	for _, members := range []int{1, 3} {
		Context("of one member or several", Ordered, func() {
			BeforeAll(func() {
				cluster = etcdtest.Start(GinkgoT(), etcdtest.Options{Members: members})
			})
			BeforeEach(func() {
				etcdtest.VerifyNoLeaks(GinkgoT())
			})

			It("serves its own client", func(ctx SpecContext) {
				Expect(cluster.Client().Put(ctx, "a", "1")).Error().NotTo(HaveOccurred())
			})

			It("serves a client of the spec's own", func(ctx SpecContext) {
				client, err := cluster.NewClient(etcdtest.ClientOptions{})
				Expect(err).NotTo(HaveOccurred())
				DeferCleanup(client.Close)

				watch := client.Watch(ctx, "a", clientv3.WithRev(1))
				Eventually(ctx, watch).Should(Receive(HaveField("Events", HaveLen(1))))
			})

			It("survives a fault", func(ctx SpecContext) {
				Expect(cluster.Member(0).Restart(ctx)).To(Succeed())
				Expect(cluster.Client().Get(ctx, "a")).To(HaveField("Count", BeNumerically("==", 1)))
			})
		})
	}
})
