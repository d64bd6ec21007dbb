package events_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/events"
	"github.com/homeostat/homeostat/pkg/store"
)

// eventRecorder is client-go's interface.
type eventRecorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

var _ eventRecorder = (*events.Recorder)(nil)

var _ = Describe("An Event", func() {
	It("has all fields that Kubernetes requires", func(ctx SpecContext) {
		b := newBench()
		run(b.Recorder)
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web-1", UID: "u2"}}
		b.Eventf(newSite("web"), pod, corev1.EventTypeWarning, "BackOff", "PullImage", "pulled %d%%", 40)
		b.eventually(ctx, HaveLen(1))

		e := b.list(ctx)[0]
		Expect(e.UID).To(HaveLen(36))
		Expect(e.Name).To(HavePrefix("web.18"))
		Expect(e.ResourceVersion).NotTo(BeEmpty())
		Expect(e.CreationTimestamp.UTC()).To(Equal(noon.Truncate(time.Second)))
		Expect(e.EventTime.UTC()).To(Equal(noon.Truncate(time.Microsecond)))
		e.ObjectMeta, e.EventTime = metav1.ObjectMeta{Namespace: e.Namespace}, metav1.MicroTime{}
		Expect(e).To(Equal(&eventsv1.Event{
			TypeMeta:            metav1.TypeMeta{APIVersion: "events.k8s.io/v1", Kind: "Event"},
			ObjectMeta:          metav1.ObjectMeta{Namespace: "default"},
			ReportingController: "example.com/test",
			ReportingInstance:   "node-1_42",
			Type:                "Warning",
			Reason:              "BackOff",
			Action:              "PullImage",
			Note:                "pulled 40%",
			Regarding: corev1.ObjectReference{
				APIVersion: "example.com/v1", Kind: "Site", Namespace: "default", Name: "web", UID: "uid-of-site", ResourceVersion: "7",
			},
			Related: &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: "web-1", UID: "u2"},
		}))
	})

	It("lies under its own prefix, as JSON without a resourceVersion", func(ctx SpecContext) {
		b := newBench()
		run(b.Recorder)
		b.record(newSite("web"), "Created", "")
		b.eventually(ctx, HaveLen(1))

		kv := b.raw(ctx)[0]
		Expect(string(kv.Key)).To(Equal(b.options.Prefix + "events.k8s.io/events/default/" + b.list(ctx)[0].Name))
		var value struct {
			APIVersion, Kind string
			Metadata         map[string]any
		}
		Expect(json.Unmarshal(kv.Value, &value)).To(Succeed())
		Expect(value.APIVersion + " " + value.Kind).To(Equal("events.k8s.io/v1 Event"))
		Expect(value.Metadata).To(And(HaveKey("uid"), HaveKey("creationTimestamp"), Not(HaveKey("resourceVersion"))))
		Expect(etcd.Client().Get(ctx, b.objects.Prefix(), clientv3.WithPrefix())).To(HaveField("Count", BeZero()))
	})

	It("is read with any store that knows the kind", func(ctx SpecContext) {
		b := newBench()
		run(b.Recorder)
		b.record(newSite("web"), "Created", "")
		b.eventually(ctx, HaveLen(1))
		reader, err := store.New(etcd.Client(), store.Options{Prefix: b.options.Prefix, Scheme: scheme.Scheme})
		Expect(err).NotTo(HaveOccurred())
		found, err := store.List[*eventsv1.Event](ctx, reader, store.ListOptions{Namespace: "default"})
		Expect(err).NotTo(HaveOccurred())
		Expect(found.Items).To(ConsistOf(HaveField("Reason", "Created")))
	})

	It("about an object without a namespace is in the default one", func(ctx SpecContext) {
		b := newBench()
		run(b.Recorder)
		b.Eventf(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, nil, "Normal", "Ready", "Check", "ok")
		b.eventually(ctx, ConsistOf(And(HaveField("Namespace", "default"), HaveField("Regarding.Namespace", ""))))
	})

	It("may be about a reference, or an object of a kind that the store does not know", func(ctx SpecContext) {
		b := newBench()
		run(b.Recorder)
		container := corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "town", Name: "web-1", UID: "u1", FieldPath: "spec.containers{web}"}
		claim := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "example.org/v3", Kind: "Claim"}, ObjectMeta: metav1.ObjectMeta{Name: "c", UID: "u2"}}
		given := container
		b.Eventf(&given, claim, "Normal", "Pulled", "Pull", "ok")
		given.Name = "changed later"
		b.Eventf(&corev1.ObjectReference{Kind: "Node", Name: "n1"}, nil, "Normal", "Ready", "Check", "ok")
		b.eventually(ctx, ConsistOf(
			And(HaveField("Namespace", "town"), HaveField("Regarding", container),
				HaveField("Related", HaveValue(Equal(corev1.ObjectReference{APIVersion: "example.org/v3", Kind: "Claim", Name: "c", UID: "u2"})))),
			And(HaveField("Namespace", "default"), HaveField("Regarding", corev1.ObjectReference{Kind: "Node", Name: "n1"})),
		))
	})

	It("has a note that is valid and not too long", func(ctx SpecContext) {
		b := newBench()
		run(b.Recorder)
		b.record(newSite("web"), "Long", "x"+strings.Repeat("é", 2000))
		b.record(newSite("web"), "Torn", "a\xff\xc3")
		b.eventually(ctx, ConsistOf(
			HaveField("Note", "x"+strings.Repeat("é", 511)),
			HaveField("Note", "a\uFFFD"),
		))
	})
})

var _ = Describe("A series", func() {
	It("counts equal calls and is written once in 10 seconds", func(ctx SpecContext) {
		b := newBench()
		run(b.Recorder)
		b.record(newSite("web"), "Created", "first")
		b.eventually(ctx, ConsistOf(HaveField("Series", BeNil())))
		b.cooling(1)

		b.clock.Step(time.Second)
		for i := range 4 {
			site := newSite("web")
			site.ResourceVersion = fmt.Sprint(8 + i)
			b.record(site, "Created", fmt.Sprint("again ", i))
		}
		b.record(newSite("web"), "Deleted", "another reason")
		b.eventually(ctx, ConsistOf(counting(1), counting(1)))

		b.cooling(2)
		b.clock.Step(10 * time.Second)
		b.eventually(ctx, ContainElement(counting(5)))
		e := b.list(ctx)[0]
		Expect(e.Note).To(Equal("again 3"))
		Expect(e.Regarding.ResourceVersion).To(Equal("11"))
		Expect(e.EventTime.UTC()).To(BeTemporally("==", noon.Truncate(time.Microsecond)))
		Expect(e.Series.LastObservedTime.UTC()).To(BeTemporally("==", noon.Add(time.Second).Truncate(time.Microsecond)))
		Expect(b.raw(ctx)[0].Version).To(BeEquivalentTo(2))
	})

	It("does not grow with a hot loop", func(ctx SpecContext) {
		b := newBench()
		stop := run(b.Recorder)
		for range 10_000 {
			b.record(newSite("web"), "Created", "")
		}
		stop()
		Expect(b.list(ctx)).To(ConsistOf(counting(10_000)))
		Expect(b.raw(ctx)[0].Version).To(BeNumerically("<=", 2))
		Expect(b.Dropped()).To(BeZero())
	})

	It("ends after 6 minutes without a call", func(ctx SpecContext) {
		b := newBench()
		run(b.Recorder)
		b.record(newSite("web"), "Created", "")
		b.cooling(1)
		b.clock.Step(6 * time.Minute)
		b.record(newSite("web"), "Created", "")
		b.eventually(ctx, ConsistOf(counting(1), counting(1)))
	})
})

var _ = Describe("A recorder", func() {
	It("writes pending Events when it is stopped", func(ctx SpecContext) {
		b := newBench()
		stop := run(b.Recorder)
		b.record(newSite("web"), "Created", "")
		b.eventually(ctx, HaveLen(1))
		for range 99 {
			b.record(newSite("web"), "Created", "")
		}
		for i := range 100 {
			b.record(newSite(fmt.Sprint("site-", i)), "Created", "")
		}
		stop()
		Expect(b.list(ctx)).To(And(HaveLen(101), ContainElement(counting(100))))
		Expect(b.Dropped()).To(BeZero())
	})

	It("writes Events recorded before it ran, and can run again", func(ctx SpecContext) {
		b := newBench()
		b.record(newSite("a"), "Created", "")
		run(b.Recorder)()
		Expect(b.list(ctx)).To(HaveLen(1))
		b.record(newSite("b"), "Created", "")
		run(b.Recorder)()
		Expect(b.list(ctx)).To(HaveLen(2))
	})

	It("runs once at a time", func(ctx SpecContext) {
		b := newBench()
		run(b.Recorder)
		b.record(newSite("web"), "Created", "")
		b.eventually(ctx, HaveLen(1))
		Expect(b.Run(ctx)).To(MatchError(ContainSubstring("runs already")))
	})

	It("shares a prefix with other recorders, and can serve several controllers", func(ctx SpecContext) {
		b := newBench()
		other, err := events.New(b.objects, b.options)
		Expect(err).NotTo(HaveOccurred())
		second, err := other.WithController("second")
		Expect(err).NotTo(HaveOccurred())
		stop, stopOther := run(b.Recorder), run(other)

		var calls sync.WaitGroup
		for _, r := range []*events.Recorder{b.Recorder, other, second} {
			for range 4 {
				calls.Go(func() {
					for range 100 {
						r.Eventf(newSite("web"), nil, "Normal", "Created", "Test", "")
					}
				})
			}
		}
		calls.Wait()
		stop()
		stopOther()
		Expect(b.list(ctx)).To(ConsistOf(
			And(counting(400), HaveField("ReportingController", "example.com/test")),
			And(counting(400), HaveField("ReportingController", "example.com/test")),
			And(counting(400), HaveField("ReportingController", "second")),
		))
	})

	DescribeTable("is not made with", func(change func(*events.Options), message string) {
		o := events.Options{Controller: "c", Prefix: "/events/"}
		change(&o)
		_, err := events.New(newObjects(etcd.Client(), "/registry/"), o)
		Expect(err).To(MatchError(ContainSubstring(message)))
	},
		Entry("no controller", func(o *events.Options) { o.Controller = "" }, "controller"),
		Entry("a controller that is no name", func(o *events.Options) { o.Controller = "a b" }, "controller"),
		Entry("a long instance", func(o *events.Options) { o.Instance = strings.Repeat("i", 129) }, "128 bytes"),
		Entry("half a prefix", func(o *events.Options) { o.Prefix = "/events" }, "slash"),
		Entry("a prefix among the objects", func(o *events.Options) { o.Prefix = "/registry/events/" }, "below"),
		Entry("a short TTL", func(o *events.Options) { o.TTL = time.Millisecond }, "TTL"),
		Entry("a negative buffer", func(o *events.Options) { o.Buffer = -1 }, "buffer"),
		Entry("a negative burst", func(o *events.Options) { o.Burst = -1 }, "burst"),
	)

	It("may use any prefix in an etcd of its own", func() {
		client, err := etcd.NewClient(etcdtest.ClientOptions{})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(client.Close)
		_, err = events.New(newObjects(etcd.Client(), "/registry/"), events.Options{
			Controller: "c", Prefix: "/registry/", Client: client,
		})
		Expect(err).NotTo(HaveOccurred())
	})

	It("is not made without a store", func() {
		_, err := events.New(nil, events.Options{Controller: "c"})
		Expect(err).To(MatchError(ContainSubstring("store is nil")))
	})

	It("has defaults for all but the controller", func(ctx SpecContext) {
		objects := newObjects(etcd.Client(), "/registry/")
		r, err := events.New(objects, events.Options{Controller: "c"})
		Expect(err).NotTo(HaveOccurred())
		Expect(r.Store().Prefix()).To(Equal(events.DefaultPrefix))
		stop := run(r)
		r.Eventf(newSite("web"), nil, "Normal", "Created", "Test", "")
		stop()
		found, err := store.List[*eventsv1.Event](ctx, r.Store(), store.ListOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(found.Items).To(ConsistOf(HaveField("ReportingInstance", MatchRegexp(`^.+_\d+$`))))
	})
})
