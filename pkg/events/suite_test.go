package events_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/events"
	"github.com/homeostat/homeostat/pkg/store"
)

// etcd serves the whole suite; each spec works below prefixes of its own.
var (
	etcd  *etcdtest.Cluster
	specs atomic.Int64
)

var _ = BeforeSuite(func() {
	etcdtest.VerifyNoLeaks(GinkgoTB())
	etcd = etcdtest.Start(GinkgoTB(), etcdtest.Options{})
})

var _ = BeforeEach(func() {
	etcdtest.VerifyNoLeaks(GinkgoTB())
	SetDefaultEventuallyTimeout(time.Minute)
	EnforceDefaultTimeoutsWhenUsingContexts()
})

func TestEvents(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "events")
}

// Site is a user-defined kind.
type Site = store.Resource[struct{}, struct{}]

var noon = time.Date(2026, 5, 4, 12, 0, 0, 123456789, time.UTC)

// bench is a recorder with its store and clock.
type bench struct {
	*events.Recorder
	objects *store.Store
	options events.Options
	clock   *clocktesting.FakeClock
}

// newBench returns a recorder that does not run yet, with a clock that stands
// still.
func newBench(change ...func(*events.Options)) *bench {
	GinkgoHelper()
	clock := clocktesting.NewFakeClock(noon)
	n := specs.Add(1)
	o := events.Options{
		Controller: "example.com/test", Instance: "node-1_42",
		Prefix: fmt.Sprintf("/events-%d/", n), Clock: clock,
	}
	for _, f := range change {
		f(&o)
	}
	objects := newObjects(etcd.Client(), fmt.Sprintf("/objects-%d/", n))
	r, err := events.New(objects, o)
	Expect(err).NotTo(HaveOccurred())
	return &bench{Recorder: r, objects: objects, options: o, clock: clock}
}

func newObjects(client *clientv3.Client, prefix string) *store.Store {
	GinkgoHelper()
	scheme := runtime.NewScheme()
	Expect(corev1.AddToScheme(scheme)).To(Succeed())
	s, err := store.New(client, store.Options{
		Scheme: scheme, Prefix: prefix,
		Kinds: []store.AnyKind{store.Kind[*Site]{
			GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"},
		}},
	})
	Expect(err).NotTo(HaveOccurred())
	return s
}

// run runs a recorder until the spec ends, or until stop is called.
func run(r *events.Recorder) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer GinkgoRecover()
		defer close(done)
		Expect(r.Run(ctx)).To(Succeed())
	}()
	stop = func() { cancel(); <-done }
	DeferCleanup(stop)
	return stop
}

// list returns the stored Events.
func (b *bench) list(ctx context.Context) []*eventsv1.Event {
	GinkgoHelper()
	found, err := store.List[*eventsv1.Event](ctx, b.Store(), store.ListOptions{})
	Expect(err).NotTo(HaveOccurred())
	return found.Items
}

// raw returns the keys and values of the stored Events.
func (b *bench) raw(ctx context.Context) []*mvccpb.KeyValue {
	GinkgoHelper()
	resp, err := etcd.Client().Get(ctx, b.options.Prefix, clientv3.WithPrefix())
	Expect(err).NotTo(HaveOccurred())
	return resp.Kvs
}

// eventually waits until the stored Events satisfy a matcher.
func (b *bench) eventually(ctx context.Context, matcher OmegaMatcher) {
	GinkgoHelper()
	Eventually(ctx, b.list).WithArguments(ctx).Should(matcher)
}

// cooling waits until n Events are recorded as written and the recorder waits for its
// clock. Before that, an Event that etcd shows may not be recorded as written, and would
// cool down only from when the clock was moved on.
func (b *bench) cooling(n int) {
	GinkgoHelper()
	Eventually(func() bool { return events.Cooling(b.Recorder) == n && b.clock.HasWaiters() }).Should(BeTrue())
}

// stepped steps the clock at each call, so that polling for a condition lets time pass.
func (b *bench) stepped(f func() events.Drops) func() events.Drops {
	return func() events.Drops {
		b.clock.Step(10 * time.Second)
		return f()
	}
}

// record records that something has happened to a site.
func (b *bench) record(site *Site, reason, note string) {
	b.Eventf(site, nil, corev1.EventTypeNormal, reason, "Test", "%s", note)
}

func newSite(name string) *Site {
	return &Site{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: "uid-of-site", ResourceVersion: "7"}}
}

// count returns the number of occurrences that an Event counts.
func count(e *eventsv1.Event) int {
	if e.Series == nil {
		return 1
	}
	return int(e.Series.Count)
}

func counting(n int) OmegaMatcher { return WithTransform(count, Equal(n)) }

// lines is a log that can be read.
type lines struct {
	mu   sync.Mutex
	said []string
}

func (l *lines) logger() logr.Logger {
	return funcr.New(func(_, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.said = append(l.said, args)
	}, funcr.Options{})
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.said...)
}
