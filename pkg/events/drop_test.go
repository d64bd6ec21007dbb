package events_test

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/homeostat/homeostat/pkg/events"
)

var _ = Describe("A call that is dropped", func() {
	var noSite *Site

	DescribeTable("has invalid arguments", func(ctx SpecContext, call func(r *events.Recorder), message string) {
		log := &lines{}
		b := newBench(func(o *events.Options) { o.Log = log.logger() })
		call(b.Recorder)
		Expect(b.Dropped()).To(Equal(events.Drops{Invalid: 1}))
		Expect(log.all()).To(ConsistOf(ContainSubstring(message)))
		run(b.Recorder)()
		Expect(b.list(ctx)).To(BeEmpty())
	},
		Entry("no object", regarding(nil), "neither an object"),
		Entry("a nil object", regarding(noSite), "is nil"),
		Entry("no metadata", regarding(&metav1.Status{}), "neither an object"),
		Entry("a nil reference", regarding((*corev1.ObjectReference)(nil)), "is nil"),
		Entry("a reference without a kind", regarding(&corev1.ObjectReference{Name: "a"}), "no kind"),
		Entry("a reference without a name", regarding(&corev1.ObjectReference{Kind: "Pod"}), "Pod has no name"),
		Entry("a very long reference", regarding(&corev1.ObjectReference{Kind: "Pod", Name: "a", FieldPath: strings.Repeat("f", 1024)}), "1027 bytes"),
		Entry("a reference that leads elsewhere", regarding(&corev1.ObjectReference{Kind: "Pod", Name: "a", Namespace: "../b"}), "namespace"),
		Entry("an unknown kind", regarding(&eventsv1.Event{ObjectMeta: metav1.ObjectMeta{Name: "a"}}), "not known"),
		Entry("no name", regarding(&corev1.Pod{}), "no name"),
		Entry("a very long name", regarding(newSite(strings.Repeat("n", 1025))), "1025 bytes"),
		Entry("a namespace that leads elsewhere", regarding(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a/b", Name: "c"}}), "namespace"),
		Entry("a related object that is nil", func(r *events.Recorder) {
			r.Eventf(newSite("web"), noSite, "Normal", "Created", "Test", "")
		}, "related"),
		Entry("no type", said("", "Created", "Test"), "type"),
		Entry("an unknown type", said("Odd", "Created", "Test"), "type"),
		Entry("no reason", said("Normal", "", "Test"), "reason"),
		Entry("a long reason", said("Normal", strings.Repeat("r", 129), "Test"), "128 bytes"),
		Entry("no action", said("Normal", "Created", ""), "action"),
	)

	It("finds the buffer full, while the series in it continue", func(ctx SpecContext) {
		log := &lines{}
		b := newBench(func(o *events.Options) { o.Buffer, o.Log = 2, log.logger() })
		for i := range 10 {
			b.record(newSite(fmt.Sprint("site-", i)), "Created", "")
		}
		b.record(newSite("site-0"), "Created", "")
		Expect(b.Dropped()).To(Equal(events.Drops{Full: 8}))
		Expect(b.Dropped().Total()).To(BeEquivalentTo(8))
		Expect(log.all()).To(ConsistOf(ContainSubstring("buffer is full")))

		b.clock.Step(time.Minute)
		b.record(newSite("site-9"), "Created", "")
		Expect(log.all()).To(HaveExactElements(ContainSubstring(`"dropped"=1`), ContainSubstring(`"dropped"=8`)))

		run(b.Recorder)()
		Expect(b.list(ctx)).To(ConsistOf(counting(2), counting(1)))
	})

	It("is about an object with too many Events", func(ctx SpecContext) {
		b := newBench(func(o *events.Options) { o.Burst = 3 })
		for i := range 5 {
			b.record(newSite("web"), fmt.Sprint("Reason", i), "")
		}
		b.record(newSite("web"), "Reason0", "free, since it continues a series")
		b.record(newSite("other"), "Reason", "")
		Expect(b.Dropped()).To(Equal(events.Drops{Limited: 2}))
		run(b.Recorder)()
		Expect(b.list(ctx)).To(HaveLen(4))

		b.clock.Step(5 * time.Minute)
		b.record(newSite("web"), "Reason5", "")
		b.record(newSite("web"), "Reason6", "")
		Expect(b.Dropped()).To(Equal(events.Drops{Limited: 3}))
	})
})

func regarding(obj runtime.Object) func(*events.Recorder) {
	return func(r *events.Recorder) { r.Eventf(obj, nil, "Normal", "Created", "Test", "") }
}

func said(eventType, reason, action string) func(*events.Recorder) {
	return func(r *events.Recorder) { r.Eventf(newSite("web"), nil, eventType, reason, action, "") }
}
