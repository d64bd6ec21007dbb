package events_test

import (
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/events"
)

var _ = Describe("Without etcd", func() {
	var (
		link *etcdtest.Link
		log  *lines
	)

	// through makes a recorder write through a link.
	through := func(o *events.Options) {
		GinkgoHelper()
		var err error
		link, err = etcd.Member(0).NewLink()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(link.Close)
		o.Client, err = etcd.NewClient(etcdtest.ClientOptions{Endpoints: []string{link.Endpoint()}})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(o.Client.Close)
		log = &lines{}
		o.Log = log.logger()
	}
	cut := func() { link.Cut() }
	freeze := func() { link.Freeze() }

	DescribeTable("no caller waits, and nothing is lost when etcd comes back", func(ctx SpecContext, disturb func()) {
		b := newBench(through)
		// Time passes ten times as fast: a request times out after half a second.
		stopTime := passTime(b.clock, 100*time.Millisecond)
		stop := run(b.Recorder)
		b.record(newSite("web"), "Created", "")
		Eventually(ctx, b.raw).WithArguments(ctx).Should(HaveLen(1))

		disturb()
		for i := range 100 {
			b.record(newSite(fmt.Sprint("site-", i)), "Created", "")
		}
		Eventually(ctx, log.all).Should(ContainElement(ContainSubstring("events cannot be written")))
		Expect(log.all()).To(HaveEach(Not(ContainSubstring("context canceled"))), "nobody cancelled it")
		link.Heal()
		Eventually(ctx, b.raw).WithArguments(ctx).Should(HaveLen(101))
		b.record(newSite("last"), "Created", "")
		Eventually(ctx, b.raw).WithArguments(ctx).Should(HaveLen(102))
		stop()
		stopTime()
		Expect(b.Dropped()).To(BeZero())
		Expect(log.all()).To(HaveExactElements(
			ContainSubstring("events cannot be written"),
			And(ContainSubstring("events can be written again"), MatchRegexp(`"failures"=[1-9]`)),
		))
	},
		Entry("after a cut", cut),
		Entry("after a freeze", freeze),
	)

	It("each interruption is logged, and its failures are counted from 1", func(ctx SpecContext) {
		b := newBench(through)
		run(b.Recorder)
		for i := range 3 {
			link.Cut()
			b.clock.Step(time.Minute)
			b.record(newSite(fmt.Sprint("site-", i)), "Created", "")
			Eventually(ctx, func() []string {
				b.clock.Step(time.Second) // the client itself tries for as long as it may
				return log.all()
			}).Should(HaveLen(2*i + 1))
			link.Heal()
			Eventually(ctx, func() int {
				b.clock.Step(time.Second)
				return len(b.raw(ctx))
			}).Should(Equal(i + 1))
			Eventually(ctx, func() []string {
				b.clock.Step(time.Second) // the answer may have been lost: then it is written again
				return log.all()
			}).Should(HaveLen(2*i + 2))
		}
		Expect(log.all()).To(HaveEach(Or(
			And(ContainSubstring("cannot be written"), ContainSubstring(`"failures"=1 `)),
			ContainSubstring("can be written again"),
		)))
	})

	DescribeTable("an Event is given up after a while", func(ctx SpecContext, disturb func()) {
		b := newBench(through, func(o *events.Options) { o.Buffer = 50 })
		stop := run(b.Recorder)
		disturb()
		for i := range 60 {
			b.record(newSite(fmt.Sprint("site-", i)), "Created", "")
		}
		b.record(newSite("site-0"), "Created", "")
		Eventually(ctx, b.stepped(b.Dropped)).Should(Equal(events.Drops{Full: 10, Failed: 51}))
		Eventually(ctx, log.all).Should(ContainElement(And(ContainSubstring("events dropped"), ContainSubstring("etcd cannot be written to"))))

		link.Heal()
		b.record(newSite("web"), "Created", "")
		Eventually(ctx, func() int {
			b.clock.Step(time.Second)
			return len(b.raw(ctx))
		}).Should(BeNumerically(">", 0))
		stop()
		Expect(b.list(ctx)).To(ContainElement(HaveField("Regarding.Name", "web")))
	},
		Entry("after a cut", cut),
		Entry("after a freeze", freeze),
	)

	DescribeTable("the recorder stops, and reports how many Events are lost", func(ctx SpecContext, disturb func()) {
		b := newBench(through)
		disturb()
		b.record(newSite("a"), "Created", "")
		b.record(newSite("a"), "Created", "")
		b.record(newSite("b"), "Created", "")
		stop := run(b.Recorder)
		stopped := make(chan struct{})
		go func() { defer close(stopped); stop() }()
		Eventually(ctx, func() <-chan struct{} {
			b.clock.Step(time.Second)
			return stopped
		}).Should(BeClosed())
		Expect(b.Dropped()).To(Equal(events.Drops{Failed: 3}))
		Expect(log.all()).To(ContainElement(And(ContainSubstring("events dropped"), ContainSubstring("stopping"))))
		Expect(log.all()).To(HaveEach(Not(ContainSubstring("context canceled"))), "nobody cancelled it")
	},
		Entry("after a cut", cut),
		Entry("after a freeze", freeze),
	)
})

// passTime steps a clock every 10 ms until stop is called or the spec ends.
func passTime(clock *clocktesting.FakeClock, step time.Duration) (stop func()) {
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-over:
				return
			case <-ticker.C:
				clock.Step(step)
			}
		}
	}()
	stop = sync.OnceFunc(func() { close(over); <-ended })
	DeferCleanup(stop)
	return stop
}
