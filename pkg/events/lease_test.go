package events_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var _ = Describe("The lease of an Event", func() {
	// leaseOf returns the lease of the only Event about a site.
	leaseOf := func(ctx SpecContext, b *bench, site string) clientv3.LeaseID {
		GinkgoHelper()
		key := b.options.Prefix + "events.k8s.io/events/default/" + site + "."
		resp, err := etcd.Client().Get(ctx, key, clientv3.WithPrefix())
		Expect(err).NotTo(HaveOccurred())
		Expect(resp.Kvs).To(HaveLen(1))
		return clientv3.LeaseID(resp.Kvs[0].Lease)
	}

	// recorded records something about a site and waits until it is written.
	recorded := func(ctx SpecContext, b *bench, site string) clientv3.LeaseID {
		GinkgoHelper()
		b.record(newSite(site), "Created", "")
		b.eventually(ctx, ContainElement(HaveField("Regarding.Name", site)))
		return leaseOf(ctx, b, site)
	}

	It("lasts longer than the TTL by the time that it is shared", func(ctx SpecContext) {
		b := newBench()
		run(b.Recorder)
		lease, err := etcd.Client().TimeToLive(ctx, recorded(ctx, b, "web"))
		Expect(err).NotTo(HaveOccurred())
		Expect(lease.GrantedTTL).To(BeEquivalentTo(3600 + 360 + 5))
	})

	It("is shared for a tenth of the TTL", func(ctx SpecContext) {
		b := newBench()
		run(b.Recorder)
		first := recorded(ctx, b, "a")
		Expect(recorded(ctx, b, "b")).To(Equal(first))
		b.cooling(2)
		b.clock.Step(6*time.Minute - 1)
		Expect(recorded(ctx, b, "c")).To(Equal(first))
		b.cooling(1)
		b.clock.Step(1)
		Expect(recorded(ctx, b, "d")).NotTo(Equal(first))
		Expect(leaseOf(ctx, b, "a")).To(Equal(first))
	})

	It("is new whenever the Event is written again", func(ctx SpecContext) {
		b := newBench()
		run(b.Recorder)
		first := recorded(ctx, b, "a")
		for i := range 4 {
			b.cooling(1)
			b.clock.Step(5 * time.Minute)
			b.record(newSite("a"), "Created", "")
			b.eventually(ctx, ConsistOf(counting(i+2)))
		}
		Expect(leaseOf(ctx, b, "a")).NotTo(Equal(first))
	})

	It("is replaced when etcd does not know it any more", func(ctx SpecContext) {
		b := newBench()
		run(b.Recorder)
		first := recorded(ctx, b, "a")
		Expect(etcd.Client().Revoke(ctx, first)).Error().NotTo(HaveOccurred())
		Expect(b.list(ctx)).To(BeEmpty())
		Expect(recorded(ctx, b, "b")).NotTo(Equal(first))
	})

	It("is one of few, however many Events there are", func(ctx SpecContext) {
		b := newBench()
		for i := range 200 {
			b.record(newSite(fmt.Sprint("site-", i)), "Created", "")
		}
		run(b.Recorder)()
		leases := map[int64]int{}
		for _, kv := range b.raw(ctx) {
			leases[kv.Lease]++
		}
		Expect(leases).To(HaveLen(1))
		Expect(leases).To(ContainElement(200))
	})
})
