package informer_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

const specTimeout = time.Minute

// longTimeout is for specs that take long even if all is well.
const longTimeout = 30 * time.Minute

type siteSpec struct {
	Region string `json:"region,omitempty"`
}

type siteStatus struct {
	Ready bool `json:"ready,omitempty"`
}

type site = store.Resource[siteSpec, siteStatus]

// newStoreOn returns a store below a prefix that no other spec uses.
func newStoreOn(client *clientv3.Client) *store.Store {
	GinkgoHelper()
	return storeAt(client, fmt.Sprintf("/spec-%d/", time.Now().UnixNano()))
}

func storeAt(client *clientv3.Client, prefix string) *store.Store {
	GinkgoHelper()
	s, err := store.New(client, store.Options{
		Scheme: scheme.Scheme,
		Prefix: prefix,
		Kinds: []store.AnyKind{store.Kind[*site]{
			GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"},
		}},
	})
	Expect(err).NotTo(HaveOccurred())
	return s
}

func newStore() *store.Store {
	GinkgoHelper()
	return newStoreOn(etcd.Client())
}

// newReplica returns a replica of ConfigMaps that notices faults soon.
func newReplica(s *store.Store, log ...logr.Logger) (*informer.Replica, *informer.Informer[*corev1.ConfigMap]) {
	GinkgoHelper()
	r := newBareReplica(s, log...)
	return r, informerFor[*corev1.ConfigMap](r)
}

// failOnMutation fails the spec: nobody may change what a replica shares.
func failOnMutation(m informer.Mutation) {
	defer GinkgoRecover()
	Fail(m.String())
}

// newBareReplica returns a replica without kinds that notices faults soon.
func newBareReplica(s *store.Store, log ...logr.Logger) *informer.Replica {
	GinkgoHelper()
	o := informer.Options{OnMutation: failOnMutation}
	if len(log) > 0 {
		o.Log = log[0]
	}
	return informer.Hasten(informer.NewReplica(s, o))
}

func revisionOf(obj store.Object) int64 {
	GinkgoHelper()
	revision, err := store.ParseRevision(obj.GetResourceVersion())
	Expect(err).NotTo(HaveOccurred())
	return revision
}

func informerFor[T store.Object](r *informer.Replica) *informer.Informer[T] {
	GinkgoHelper()
	i, err := informer.For[T](r)
	Expect(err).NotTo(HaveOccurred())
	return i
}

// start runs a replica until the spec ends, or until stop is called.
func start(r *informer.Replica) (stop func()) {
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

func startSynced(ctx context.Context, r *informer.Replica) (stop func()) {
	GinkgoHelper()
	stop = start(r)
	Expect(r.WaitForSync(ctx)).To(Succeed())
	return stop
}

// follows waits until a replica has a watch, by a change outside its kinds.
func follows(ctx context.Context, r *informer.Replica) {
	GinkgoHelper()
	Expect(r.WaitForRevision(ctx, put(ctx, r.Store().Client(), "/elsewhere", ""))).To(Succeed())
}

// cutOff cuts off a replica that follows etcd, and waits until it has noticed. Before it
// has a watch, only a timeout would tell.
func cutOff(ctx context.Context, link *etcdtest.Link, r *informer.Replica) {
	GinkgoHelper()
	follows(ctx, r)
	link.Cut()
	Eventually(replicaErr(r)).Should(HaveOccurred())
}

// impatient is how long a replica waits for etcd's answers in specs that wait for that
// time-out. A busy etcd may exceed it, so they accept further disturbances.
const impatient = 300 * time.Millisecond

// linked returns a store below a prefix of its own whose client can be cut off,
// and one on the same prefix whose client is not disturbed.
func linked(c *etcdtest.Cluster) (link *etcdtest.Link, behind, direct *store.Store) {
	GinkgoHelper()
	link, err := c.Member(0).NewLink()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(link.Close)
	client, err := c.NewClient(etcdtest.ClientOptions{Endpoints: []string{link.Endpoint()}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(client.Close)
	direct = newStoreOn(c.Client())
	return link, storeAt(client, direct.Prefix()), direct
}

// sideBySide runs functions at the same time and waits for all. They mostly wait, and each
// has data of its own.
func sideBySide(functions ...func()) {
	var running sync.WaitGroup
	for _, f := range functions {
		running.Go(func() {
			defer GinkgoRecover()
			f()
		})
	}
	running.Wait()
}

// enqueued waits until the backlogs of all handlers have the changes up to a revision.
// A wait for the revision may end before that: it is for readers of snapshots.
func enqueued(r *informer.Replica, revision int64) {
	GinkgoHelper()
	Eventually(func() int64 { return informer.Enqueued(r) }).Should(BeNumerically(">=", revision))
}

func configMap(name string, data ...string) *corev1.ConfigMap {
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	for i := 0; i < len(data); i += 2 {
		if cm.Data == nil {
			cm.Data = map[string]string{}
		}
		cm.Data[data[i]] = data[i+1]
	}
	return cm
}

func deployment(name string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

func newSite(name, region string) *site {
	return &site{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: siteSpec{region}}
}

func key(name string) store.Key { return store.Key{Namespace: "default", Name: name} }

func create(ctx context.Context, s *store.Store, obj store.Object) int64 {
	GinkgoHelper()
	rev, err := s.Create(ctx, obj)
	Expect(err).NotTo(HaveOccurred())
	return rev
}

func update(ctx context.Context, s *store.Store, obj store.Object) int64 {
	GinkgoHelper()
	rev, err := s.Update(ctx, obj)
	Expect(err).NotTo(HaveOccurred())
	return rev
}

// setValue gives a ConfigMap another value.
func setValue(ctx context.Context, s *store.Store, cm *corev1.ConfigMap, v string) int64 {
	GinkgoHelper()
	cm.Data = map[string]string{"v": v}
	return update(ctx, s, cm)
}

func remove(ctx context.Context, s *store.Store, obj store.Object) int64 {
	GinkgoHelper()
	rev, err := s.Delete(ctx, obj, store.DeleteOptions{})
	Expect(err).NotTo(HaveOccurred())
	return rev
}

// compact compacts etcd at its newest revision.
func compact(ctx context.Context, client *clientv3.Client) {
	GinkgoHelper()
	resp, err := client.Get(ctx, "/", clientv3.WithCountOnly())
	Expect(err).NotTo(HaveOccurred())
	_, err = client.Compact(ctx, resp.Header.Revision, clientv3.WithCompactPhysical())
	Expect(err).NotTo(HaveOccurred())
}

// burn makes revisions without changes of any kind.
func burn(ctx context.Context, client *clientv3.Client, n int) {
	GinkgoHelper()
	var puts errgroup.Group
	puts.SetLimit(16)
	for range n {
		puts.Go(func() error {
			_, err := client.Put(ctx, "/burnt", "")
			return err
		})
	}
	Expect(puts.Wait()).To(Succeed())
}

// valueOf returns the value of a ConfigMap in the newest snapshot.
func valueOf(maps *informer.Informer[*corev1.ConfigMap], name string) func() string {
	return func() string {
		cm, ok := maps.Get(maps.Replica().Snapshot(), key(name))
		if !ok {
			return "(none)"
		}
		return cm.Data["v"]
	}
}

// inEtcd returns the resourceVersion of each key of a kind in etcd.
func inEtcd(ctx context.Context, s *store.Store, kind string) map[string]string {
	GinkgoHelper()
	prefix := s.Prefix() + kind + "/"
	resp, err := s.Client().Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	Expect(err).NotTo(HaveOccurred())
	state := map[string]string{}
	for _, kv := range resp.Kvs {
		state[strings.TrimPrefix(string(kv.Key), prefix)] = store.FormatRevision(kv.ModRevision)
	}
	return state
}

// inSnapshot returns the same from a snapshot.
func inSnapshot[T store.Object](i *informer.Informer[T], s *informer.Snapshot) map[string]string {
	state := map[string]string{}
	for obj := range i.List(s, informer.ListOptions{}) {
		state[store.KeyOf(obj).String()] = obj.GetResourceVersion()
	}
	return state
}

func inReplica[T store.Object](i *informer.Informer[T]) func() map[string]string {
	return func() map[string]string { return inSnapshot(i, i.Replica().Snapshot()) }
}

// audit is a handler that checks that the events it receives are consistent.
type audit[T store.Object] struct {
	mayGoBack bool // etcd does in this spec

	mu     sync.Mutex
	events []informer.Event[T]
	state  map[store.Key]T
	faults []string
}

func (a *audit[T]) handle(_ context.Context, e informer.Event[T]) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state == nil {
		a.state = map[store.Key]T{}
	}
	k := store.KeyOf(e.Object)
	known, ok := a.state[k]
	switch {
	case (e.Type == store.Added) == ok:
		a.fault(e, "the object was known: %v", ok)
	case e.Type == store.Modified && any(e.Old) != any(known):
		a.fault(e, "old is %s, want the received %s", e.Old.GetResourceVersion(), known.GetResourceVersion())
	case e.Type == store.Modified && e.Old.GetUID() != e.Object.GetUID():
		a.fault(e, "one object became another")
	case e.Type == store.Deleted && any(e.Object) != any(known):
		a.fault(e, "last known is %s, want the received %s", e.Object.GetResourceVersion(), known.GetResourceVersion())
	}
	n := len(a.events)
	if n > 0 && e.Initial && !a.events[n-1].Initial {
		a.fault(e, "initial after a change")
	}
	if n > 0 && !e.Initial && !a.mayGoBack && e.Revision < a.events[n-1].Revision && !a.events[n-1].Initial {
		a.fault(e, "after revision %d", a.events[n-1].Revision)
	}
	a.events = append(a.events, e)
	a.state[k] = e.Object
	if e.Type == store.Deleted {
		delete(a.state, k)
	}
}

func (a *audit[T]) fault(e informer.Event[T], format string, args ...any) {
	a.faults = append(a.faults, fmt.Sprintf("%s %s at %d: ", e.Type, store.KeyOf(e.Object), e.Revision)+fmt.Sprintf(format, args...))
}

// found returns the faults so far.
func (a *audit[T]) found() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.faults)
}

func (a *audit[T]) all() []informer.Event[T] {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.events)
}

// received returns the state that follows from the events received.
func (a *audit[T]) received() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	state := map[string]string{}
	for k, obj := range a.state {
		state[k.String()] = obj.GetResourceVersion()
	}
	return state
}

// lines returns the events, with the values of ConfigMaps.
func (a *audit[T]) lines() []string {
	var lines []string
	for _, e := range a.all() {
		line := fmt.Sprintf("%s %s", e.Type, e.Object.GetName())
		if cm, ok := any(e.Object).(*corev1.ConfigMap); ok {
			line += " " + cm.Data["v"]
		}
		lines = append(lines, line)
	}
	return lines
}

// audited adds an audit to an informer, and checks it at the spec's end.
func audited[T store.Object](i *informer.Informer[T]) *audit[T] {
	a := &audit[T]{}
	i.AddHandler(a.handle)
	DeferCleanup(func() { Expect(a.found()).To(BeEmpty()) })
	return a
}

// logLines is a log that can be read.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) logger() logr.Logger {
	return funcr.New(func(_, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, args)
	}, funcr.Options{})
}

func (l *logLines) with(part string) func() []string {
	return func() []string {
		l.mu.Lock()
		defer l.mu.Unlock()
		var found []string
		for _, line := range l.lines {
			if strings.Contains(line, part) {
				found = append(found, line)
			}
		}
		return found
	}
}

func relists(r *informer.Replica) func() map[string]int64 {
	return func() map[string]int64 { return maps.Clone(r.Status().Relists) }
}

func replicaErr(r *informer.Replica) func() error {
	return func() error { return r.Status().Err }
}

func bytesInEtcd(ctx context.Context, s *store.Store, kind string) int64 {
	GinkgoHelper()
	resp, err := s.Client().Get(ctx, s.Prefix()+kind, clientv3.WithPrefix())
	Expect(err).NotTo(HaveOccurred())
	var n int64
	for _, kv := range resp.Kvs {
		n += int64(len(kv.Key) + len(kv.Value))
	}
	return n
}

func panickyStore(like *store.Store) *store.Store {
	GinkgoHelper()
	s, err := store.New(like.Client(), store.Options{Prefix: like.Prefix(), Kinds: []store.AnyKind{store.Kind[*panicky]{
		GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Panicky"},
	}}})
	Expect(err).NotTo(HaveOccurred())
	return s
}
