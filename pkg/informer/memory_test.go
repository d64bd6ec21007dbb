package informer_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// At soak length this is a day of 20 events a second, which would show a leak of
// two bytes an event; the short form would show one of 20. HOMEOSTAT_MEMORY_EVENTS
// sets another number: 200 events a second are 17 million.
var _ = Describe("The memory of a replica", Label("soak"), func() {
	It("stays flat over days of changes", func(ctx SpecContext) {
		events := soakLength(200_000, 2_000_000)
		if raced {
			events = 100_000
		}
		if n, err := strconv.Atoi(os.Getenv("HOMEOSTAT_MEMORY_EVENTS")); err == nil {
			events = n
		}
		d := newDays(uint64(GinkgoRandomSeed()))
		early := d.pass(ctx, events/10)
		d.pass(ctx, events/2)
		late := d.pass(ctx, events)
		By(fmt.Sprintf("%d events: %+v; all: %+v, lists: %v", events, early, late, d.replica.Status().Relists))
		Expect(late.heap).To(BeNumerically("<", early.heap+early.heap/8+2<<20))
		Expect(late.goroutines).To(BeNumerically("<=", early.goroutines+10))
	})
})

var _ = Describe("The memory of undelivered changes", func() {
	It("is bounded while nothing can be applied", func(ctx SpecContext) {
		total := 100_000
		if raced {
			total = 40_000 // 50 MB
		}
		etcd := &scriptedEtcd{version: "3.7.1"}
		cut, sent := make(chan struct{}), 0
		value := bytes.Repeat([]byte(" "), 1024)
		copy(value, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"namespace":"default","name":"a"}}`)
		etcd.script = func(ctx context.Context) *pb.WatchResponse {
			if sent >= total {
				<-ctx.Done()
				return nil
			}
			resp := &pb.WatchResponse{}
			for range 100 {
				resp.Events = append(resp.Events, etcd.transact(op{"/full/core/configmaps/default/a", value})...)
			}
			sent, resp.Header = sent+len(resp.Events), etcd.head()
			if sent == 100 {
				context.AfterFunc(ctx, func() { close(cut) })
			}
			return resp
		}
		r, maps := newReplica(storeAt(etcd.serve(), "/full/"))
		gate, stuck := make(chan struct{}), make(chan struct{})
		var once sync.Once
		maps.AddIndex(func(*corev1.ConfigMap) []string {
			once.Do(func() { close(stuck) })
			<-gate
			return nil
		})
		before := takeFootprint()
		start(r)
		open := sync.OnceFunc(func() { close(gate) })
		DeferCleanup(open)
		Eventually(ctx, stuck).Should(BeClosed())
		Eventually(ctx, cut).Should(BeClosed(), "the watch goes on")
		Expect(takeFootprint().heap).To(BeNumerically("<", before.heap+2*informer.PendingBytesMin))

		open()
		Eventually(relists(r)).Should(HaveKeyWithValue("far behind", BeNumerically(">", 0)))
		Eventually(func() int64 { return etcd.head().Revision }).Should(BeNumerically(">", total))
		Eventually(func() int64 { return r.Snapshot().Revision() }).Should(Equal(etcd.head().Revision))
		Eventually(replicaErr(r)).ShouldNot(HaveOccurred())
		Eventually(func() int64 { return r.Status().Unapplied }).Should(BeZero())
	}, SpecTimeout(longTimeout))

	DescribeTable("is that of a few objects while a handler sleeps, however large the object", func(ctx SpecContext, batches bool) {
		const updates, size = 1000, 100 << 10 // 100 MB if all are kept
		etcd := &scriptedEtcd{version: "3.7.1"}
		r, maps := newReplica(storeAt(etcd.serve(), "/large/"))
		sent := 0
		etcd.script = func(ctx context.Context) *pb.WatchResponse {
			if sent == updates || r.WaitForRevision(ctx, etcd.head().Revision) != nil {
				<-ctx.Done()
				return nil
			}
			resp := &pb.WatchResponse{}
			for range 20 {
				sent++
				value := fmt.Appendf(nil, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"namespace":"default","name":"a"},"data":{"v":"%0*d"}}`, size, sent)
				resp.Events = append(resp.Events, etcd.transact(op{"/large/core/configmaps/default/a", value})...)
			}
			resp.Header = etcd.head()
			return resp
		}
		asleep, awake := make(chan struct{}, 1), make(chan struct{})
		seen := &lastReceived[*corev1.ConfigMap]{}
		handle := func(_ context.Context, e informer.Event[*corev1.ConfigMap]) {
			select {
			case asleep <- struct{}{}:
			default:
			}
			<-awake
			seen.handle(e)
		}
		before := takeFootprint()
		if batches {
			maps.AddBatchHandler(informer.Debounce{}, func(ctx context.Context, b informer.Batch[*corev1.ConfigMap]) {
				for _, e := range b.Events {
					handle(ctx, e)
				}
			})
		} else {
			maps.AddHandler(handle)
		}
		start(r)
		wake := sync.OnceFunc(func() { close(awake) })
		DeferCleanup(wake)
		Eventually(ctx, asleep).Should(Receive())
		Eventually(ctx, func() int64 { return r.Snapshot().Revision() }).Should(BeEquivalentTo(1 + updates))
		Expect(takeFootprint().heap).To(BeNumerically("<", before.heap+8<<20))

		wake()
		Eventually(func() int { return r.Status().Kinds[0].Backlogs[0] }).Should(BeZero())
		Eventually(seen.known).Should(Equal(1))
		Expect(seen.found()).To(BeEmpty())
	},
		Entry("that gets single changes", false, SpecTimeout(longTimeout)),
		Entry("that gets batches", true, SpecTimeout(longTimeout)),
	)

	It("is bounded while a handler sleeps", Label("soak"), func(ctx SpecContext) {
		const batch = 100
		// At soak length, 100k changes; by default 24k, which take 40 MB if all are kept.
		writers, rounds := 4, soakLength(60, 250)
		slack := uint64(soakLength(24<<20, 64<<20))
		if raced {
			writers, rounds, slack = 2, 25, 64<<20 // only the backlog's length tells
		}
		s := newStore()
		r, maps := newReplica(s)
		asleep, awake := make(chan struct{}), make(chan struct{})
		var once sync.Once
		seen := &lastReceived[*corev1.ConfigMap]{}
		sleeper := maps.AddHandler(func(ctx context.Context, e informer.Event[*corev1.ConfigMap]) {
			once.Do(func() { close(asleep) })
			<-awake
			seen.handle(e)
		})
		startSynced(ctx, r)
		wake := sync.OnceFunc(func() { close(awake) })
		DeferCleanup(wake)
		create(ctx, s, configMap("first"))
		Eventually(ctx, asleep).Should(BeClosed())

		var writing errgroup.Group
		revisions := make([]int64, writers)
		for w := range writers {
			writing.Go(func() (err error) {
				for range rounds {
					if revisions[w], err = putMaps(ctx, s, w, batch); err != nil {
						return err
					}
				}
				return nil
			})
		}
		Expect(writing.Wait()).To(Succeed())
		enqueued(r, slices.Max(revisions))
		full := takeFootprint()
		Expect(sleeper.Backlog()).To(BeNumerically("<=", informer.BacklogLimit+writers*batch))

		wake()
		Eventually(sleeper.Backlog).Should(BeZero())
		// What etcd itself keeps in this process is part of both.
		Expect(full.heap).To(BeNumerically("<", takeFootprint().heap+slack))
		Eventually(seen.known).Should(Equal(writers*batch + 1))
		Expect(seen.found()).To(BeEmpty())
	}, SpecTimeout(longTimeout))
})

// putMaps writes ConfigMaps that only one writer writes, in one transaction.
func putMaps(ctx context.Context, s *store.Store, writer, n int) (int64, error) {
	fill := strings.Repeat("x", 1024) // needs no escape
	puts := make([]clientv3.Op, n)
	for i := range puts {
		name := fmt.Sprintf("w-%d-%d", writer, i)
		puts[i] = clientv3.OpPut(s.Prefix()+"core/configmaps/default/"+name,
			fmt.Sprintf(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"namespace":"default","name":%q},"data":{"v":"%s"}}`, name, fill))
	}
	for {
		resp, err := s.Client().Txn(ctx).Then(puts...).Commit()
		if err == nil {
			return resp.Header.Revision, nil
		}
		if ctx.Err() != nil {
			return 0, err
		} // etcd had too much to do
	}
}

// footprint is the memory that an idle replica takes.
type footprint struct {
	heap       uint64
	goroutines int
}

// days has the events of many days in fast motion: objects that are created,
// changed and deleted, undecodable values, foreign keys, streams that end,
// handlers that are slow and handlers that are removed, and old snapshots that
// are held.
type days struct {
	etcd    *scriptedEtcd
	replica *informer.Replica
	maps    *informer.Informer[*corev1.ConfigMap]
	sites   *informer.Informer[*site]
	dice    *rand.Rand // the script's

	mu    sync.Mutex
	made  int           // events
	until int           // how many events to make before the next rest
	rest  chan struct{} // closed when they are made
	goOn  chan struct{} // closed when more are to be made
	held  []*informer.Snapshot
}

// objects is the maximum number of objects of a kind.
const objects = 1000

// ahead is how many revisions the script may be ahead of the replica.
const ahead = 4000

func newDays(seed uint64) *days {
	GinkgoHelper()
	By(fmt.Sprintf("seed %d", seed))
	d := &days{etcd: &scriptedEtcd{version: "3.7.1"}, dice: rand.New(rand.NewPCG(seed, 0)), goOn: make(chan struct{})}
	d.etcd.script = d.script
	s := storeAt(d.etcd.serve(), "/days/")
	d.replica = informer.Hasten(informer.NewReplica(s, informer.Options{})) // as in production: without a look for mutations
	d.maps = informerFor[*corev1.ConfigMap](d.replica)
	d.sites = informerFor[*site](d.replica)
	d.sites.AddIndex(func(s *site) []string { return []string{s.Spec.Region} })
	a := &lastReceived[*corev1.ConfigMap]{}
	d.maps.AddHandler(func(_ context.Context, e informer.Event[*corev1.ConfigMap]) {
		a.handle(e)
		d.hold(e.Revision)
	})
	b := &lastReceived[*site]{}
	d.sites.AddHandler(func(ctx context.Context, e informer.Event[*site]) {
		b.handle(e)
		if e.Revision%10_000 == 0 { // it sleeps while the replica goes on
			d.sleep(ctx, e.Revision+5000)
		}
	})
	DeferCleanup(func() {
		Expect(a.found()).To(BeEmpty())
		Expect(b.found()).To(BeEmpty())
	})
	start(d.replica)
	return d
}

// pass waits until so many events were made, and returns the memory that the
// replica then takes.
func (d *days) pass(ctx context.Context, until int) footprint {
	GinkgoHelper()
	rest := make(chan struct{})
	d.mu.Lock()
	d.until, d.rest = until, rest
	close(d.goOn)
	d.goOn = make(chan struct{})
	d.mu.Unlock()
	passing := d.visit()
	Eventually(ctx, rest).WithTimeout(longTimeout).Should(BeClosed())
	passing.Remove()
	Expect(d.replica.WaitForRevision(ctx, d.etcd.head().Revision)).To(Succeed())
	Eventually(func() int {
		waiting := 0
		for _, k := range d.replica.Status().Kinds {
			for _, n := range k.Backlogs {
				waiting += n
			}
		}
		return waiting
	}).Should(BeZero())
	d.expectEqual()
	d.mu.Lock()
	d.held = nil
	d.mu.Unlock()
	return takeFootprint()
}

// visit adds a handler for a while. The handler returns only when its context is
// done.
func (d *days) visit() *informer.Registration {
	return d.sites.AddHandler(func(ctx context.Context, _ informer.Event[*site]) { <-ctx.Done() })
}

// hold keeps some snapshots of the past.
func (d *days) hold(revision int64) {
	if revision%1000 != 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = append(d.held, d.replica.Snapshot())
	if len(d.held) > 16 {
		d.held = d.held[1:]
	}
}

// sleep waits until the replica has reached a revision, or the script rests.
func (d *days) sleep(ctx context.Context, revision int64) {
	d.mu.Lock()
	rest := d.rest
	d.mu.Unlock()
	if rest == nil {
		return
	}
	reached := make(chan struct{})
	defer d.replica.AfterRevision(revision, func() { close(reached) })()
	select {
	case <-reached:
	case <-rest:
	case <-ctx.Done():
	}
}

func (d *days) expectEqual() {
	GinkgoHelper()
	snapshot := d.replica.Snapshot()
	state := inSnapshot(d.maps, snapshot)
	for name, revision := range inSnapshot(d.sites, snapshot) {
		state["sites/"+name] = revision
	}
	bad := d.replica.Status().Undecodable
	d.etcd.mu.Lock()
	defer d.etcd.mu.Unlock()
	for key, kv := range d.etcd.data {
		name := strings.NewReplacer("/days/core/configmaps/", "", "/days/example.com/sites/", "sites/").Replace(key)
		_, isBad := bad[key]
		if !isBad && !strings.HasPrefix(key, "/days/elsewhere") {
			Expect(state).To(HaveKeyWithValue(name, store.FormatRevision(kv.ModRevision)))
		}
		delete(state, name)
	}
	Expect(state).To(BeEmpty(), "what etcd has not")
}

func takeFootprint() footprint {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first has only marked as to be finalized
	runtime.ReadMemStats(&m)
	return footprint{m.HeapAlloc, runtime.NumGoroutine()}
}

// script makes a response of some transactions, once the replica is not too far
// behind.
func (d *days) script(ctx context.Context) *pb.WatchResponse {
	now := d.etcd.head().Revision
	if !d.mayMake(ctx) || !d.await(ctx, now-ahead) || d.dice.IntN(500) == 0 {
		return nil
	}
	resp := &pb.WatchResponse{}
	for range 1 + d.dice.IntN(100) {
		resp.Events = append(resp.Events, d.etcd.transact(d.transaction()...)...)
	}
	resp.Header = d.etcd.head()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made += len(resp.Events); d.made >= d.until && d.rest != nil {
		close(d.rest)
		d.rest = nil
	}
	return resp
}

// mayMake waits while the script rests.
func (d *days) mayMake(ctx context.Context) bool {
	d.mu.Lock()
	rest, goOn := d.rest == nil, d.goOn
	d.mu.Unlock()
	if !rest {
		return true
	}
	select {
	case <-goOn:
		return true
	case <-ctx.Done():
		return false
	}
}

// await waits until the replica has reached a revision.
func (d *days) await(ctx context.Context, revision int64) bool {
	return d.replica.Snapshot().Revision() >= revision || d.replica.WaitForRevision(ctx, revision) == nil
}

func (d *days) transaction() []op {
	ops := map[string]op{}
	for range 1 + d.dice.IntN(8) {
		o := d.change()
		ops[o.key] = o
	}
	var all []op
	for _, o := range ops {
		all = append(all, o)
	}
	return all
}

func (d *days) change() op {
	n, what := d.dice.IntN(objects), d.dice.IntN(100)
	key := fmt.Sprintf("/days/core/configmaps/default/o-%d", n)
	value := fmt.Appendf(nil, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"namespace":"default","name":"o-%d","uid":"%d"},"data":{"v":"%d"}}`, n, n, what)
	if d.dice.IntN(2) == 0 {
		key = fmt.Sprintf("/days/example.com/sites/default/o-%d", n)
		value = fmt.Appendf(nil, `{"kind":"Site","apiVersion":"example.com/v1","metadata":{"namespace":"default","name":"o-%d","uid":"%d"},"spec":{"region":"r-%d"}}`, n, n, what)
	}
	switch {
	case what == 0:
		return op{key, []byte(`{"kind":`)}
	case what == 1:
		return op{"/days/elsewhere/x", value}
	case what < 20:
		return op{key, nil}
	}
	return op{key, value}
}

// lastReceived is a handler that checks that it receives each change of an object
// once.
type lastReceived[T store.Object] struct {
	mu     sync.Mutex
	state  map[store.Key]T
	faults []string
}

func (l *lastReceived[T]) handle(e informer.Event[T]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == nil {
		l.state = map[store.Key]T{}
	}
	k := store.KeyOf(e.Object)
	known, ok := l.state[k]
	old := e.Old
	if e.Type == store.Deleted {
		old = e.Object
	}
	if ok == (e.Type == store.Added) || ok && any(old) != any(known) {
		l.faults = append(l.faults, fmt.Sprintf("%s %s at %d", e.Type, k, e.Revision))
	}
	l.state[k] = e.Object
	if e.Type == store.Deleted {
		delete(l.state, k)
	}
}

// known returns the number of objects that exist by the events received.
func (l *lastReceived[T]) known() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.state)
}

func (l *lastReceived[T]) found() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.faults)
}
