package informer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// HOMEOSTAT_FAULT_SEED replays a run, as far as etcd's timing allows;
// HOMEOSTAT_FAULT_SECONDS makes runs longer.
var _ = Describe("Under random faults", Label("soak"), func() {
	DescribeTable("a replica loses nothing",
		func(ctx SpecContext, forgetful, saving bool) {
			seed, length := uint64(GinkgoRandomSeed()), time.Duration(soakLength(800, 30_000))*time.Millisecond
			if s, err := strconv.ParseUint(os.Getenv("HOMEOSTAT_FAULT_SEED"), 10, 64); err == nil {
				seed = s
			}
			if s, err := strconv.ParseFloat(os.Getenv("HOMEOSTAT_FAULT_SECONDS"), 64); err == nil {
				length = time.Duration(s * float64(time.Second))
			}
			By(fmt.Sprintf("HOMEOSTAT_FAULT_SEED=%d", seed))
			bounded, cancel := context.WithTimeout(ctx, length+specTimeout)
			defer cancel()
			newFaultRun(seed, forgetful, saving).run(bounded, length)
		},
		Entry("and delivers each change, while etcd compacts nothing", false, false),
		Entry("while etcd compacts its history and the replica is stopped and started", true, false),
		Entry("and delivers each change, while it starts from its checkpoint again and again", false, true),
		Entry("while etcd compacts its history and it starts from its checkpoint again and again", true, true),
	)
})

// groups is the number of groups. A group has one object of each kind; they are
// written together.
const groups = 6

// faultRun is one run. Each group has either none of its objects, or all, with
// the same label.
type faultRun struct {
	seed      uint64
	forgetful bool
	path      string // of the checkpoint; empty if there is none
	cluster   *etcdtest.Cluster
	link      *etcdtest.Link
	behind    *store.Store
	direct    *store.Store
	past      []*life
	now       atomic.Pointer[life]
}

// life is the life of one replica, from its start with a checkpoint.
type life struct {
	from    int64 // the checkpoint's revision
	replica *informer.Replica
	maps    *informer.Informer[*corev1.ConfigMap]
	deploys *informer.Informer[*appsv1.Deployment]
	sites   *informer.Informer[*site]
	a       *audit[*corev1.ConfigMap]
	b       *audit[*appsv1.Deployment]
	c, slow *audit[*site]
	stop    func()
}

func newFaultRun(seed uint64, forgetful, saving bool) *faultRun {
	GinkgoHelper()
	f := &faultRun{seed: seed, forgetful: forgetful, cluster: etcdtest.Start(GinkgoTB(), etcdtest.Options{})}
	f.link, f.behind, f.direct = linked(f.cluster)
	if saving {
		f.path = checkpointPath()
	}
	return f
}

// live starts a life.
func (f *faultRun) live() *life {
	GinkgoHelper()
	l := &life{slow: &audit[*site]{}}
	if f.path != "" {
		var err error
		l.from, err = informer.SavedRevision(f.path)
		Expect(err).NotTo(HaveOccurred())
	}
	l.replica = informer.Hasten(informer.NewReplica(f.behind, informer.Options{
		Checkpoint: informer.Checkpoint{Path: f.path, Interval: 5 * time.Millisecond},
	}))
	informer.Await(l.replica, 200*time.Millisecond)
	l.maps = informerFor[*corev1.ConfigMap](l.replica)
	l.deploys = informerFor[*appsv1.Deployment](l.replica)
	l.sites = informerFor[*site](l.replica)
	l.a, l.b, l.c = audited(l.maps), audited(l.deploys), audited(l.sites)
	dice := f.rand(uint64(100 + len(f.past)))
	l.sites.AddHandler(func(ctx context.Context, e informer.Event[*site]) {
		l.slow.handle(ctx, e)
		pause(ctx, time.Duration(dice.IntN(int(2*time.Millisecond))))
	})
	l.stop = start(l.replica)
	f.now.Store(l)
	return l
}

// rand returns the source of random numbers of one goroutine.
func (f *faultRun) rand(participant uint64) *rand.Rand {
	return rand.New(rand.NewPCG(f.seed, participant))
}

func (f *faultRun) run(ctx context.Context, length time.Duration) {
	first := f.live()
	if !f.forgetful || f.path != "" { // objects that do not exist yet arrive as changes
		Expect(first.replica.WaitForSync(ctx)).To(Succeed())
	}
	if f.path != "" {
		Eventually(func() int64 { return first.replica.Status().Checkpoint.Writes }).Should(BeNumerically(">", 0))
	}

	during, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var all sync.WaitGroup
	participants := []func(context.Context, *rand.Rand){f.read, f.listen, f.disturb}
	for w := range 3 {
		participants = append(participants, func(ctx context.Context, r *rand.Rand) { f.write(ctx, r, w, 3) })
	}
	for n, p := range participants {
		all.Go(func() {
			defer GinkgoRecover()
			p(during, f.rand(uint64(n+2)))
		})
	}
	all.Wait()
	f.link.Heal()

	l := f.now.Load()
	fresh, err := l.replica.FreshSnapshot(ctx)
	Expect(err).NotTo(HaveOccurred())
	l.expectWhole(fresh)
	Expect(inSnapshot(l.maps, fresh)).To(Equal(inEtcd(ctx, f.direct, "core/configmaps")))
	Expect(inSnapshot(l.deploys, fresh)).To(Equal(inEtcd(ctx, f.direct, "apps/deployments")))
	Expect(inSnapshot(l.sites, fresh)).To(Equal(inEtcd(ctx, f.direct, "example.com/sites")))
	expectReceived(l.a, inSnapshot(l.maps, fresh))
	expectReceived(l.b, inSnapshot(l.deploys, fresh))
	expectReceived(l.c, inSnapshot(l.sites, fresh))
	expectReceived(l.slow, inSnapshot(l.sites, fresh))
	By(fmt.Sprintf("%d events in the last of %d lives, lists: %v, watches: %d",
		len(l.a.all()), len(f.past)+1, l.replica.Status().Relists, l.replica.Status().Watches))
	if !f.forgetful {
		Expect(first.replica.Status().Relists).To(Equal(map[string]int64{"initial": 1}))
		lives := append(f.past, l)
		expectTruth(ctx, f.direct, "core/configmaps/", joined(lives, func(l *life) *audit[*corev1.ConfigMap] { return l.a }))
		expectTruth(ctx, f.direct, "apps/deployments/", joined(lives, func(l *life) *audit[*appsv1.Deployment] { return l.b }))
		expectTruth(ctx, f.direct, "example.com/sites/", joined(lives, func(l *life) *audit[*site] { return l.c }))
		expectTruth(ctx, f.direct, "example.com/sites/", joined(lives, func(l *life) *audit[*site] { return l.slow }))
	}
}

// joined returns what one handler received over all lives. From each life it
// takes the events up to the revision of the checkpoint with which the next life
// started.
func joined[T store.Object](lives []*life, of func(*life) *audit[T]) []string {
	var received []string
	for i, l := range lives {
		for _, e := range of(l).all() {
			if i > 0 && e.Initial || i+1 < len(lives) && e.Revision > lives[i+1].from {
				continue
			}
			received = append(received, fmt.Sprintf("%s %s %d", e.Type, e.Object.GetName(), e.Revision))
		}
	}
	return received
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func expectReceived[T store.Object](a *audit[T], state map[string]string) {
	GinkgoHelper()
	Eventually(a.received).Should(Equal(state))
	Expect(a.found()).To(BeEmpty())
}

// expectTruth expects a handler to have received exactly the events of a watch
// from the first revision.
func expectTruth(ctx context.Context, s *store.Store, kind string, received []string) {
	GinkgoHelper()
	now, err := s.Revision(ctx)
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	put(ctx, s.Client(), s.Prefix()+kind+"~", "") // no object, but the end of the watch
	var truth []string
	for resp := range s.Client().Watch(ctx, s.Prefix()+kind, clientv3.WithPrefix(), clientv3.WithRev(1)) {
		for _, ev := range resp.Events {
			if ev.Kv.ModRevision > now {
				Expect(received).To(Equal(truth))
				return
			}
			name, real := strings.CutPrefix(string(ev.Kv.Key), s.Prefix()+kind+"default/")
			if !real {
				continue
			}
			eventType := store.Modified
			switch {
			case ev.IsCreate():
				eventType = store.Added
			case ev.Type == clientv3.EventTypeDelete:
				eventType = store.Deleted
			}
			truth = append(truth, fmt.Sprintf("%s %s %d", eventType, name, ev.Kv.ModRevision))
		}
	}
}

// write changes groups that no other goroutine writes.
func (f *faultRun) write(ctx context.Context, r *rand.Rand, first, step int) {
	for n := 0; ctx.Err() == nil; n++ {
		g := first + step*r.IntN(groups/step)
		t := f.direct.Txn()
		objs := []store.Object{configMap(fmt.Sprint("g-", g)), deployment(fmt.Sprint("g-", g)), newSite(fmt.Sprint("g-", g), "")}
		_, err := store.Get[*site](ctx, f.direct, store.KeyOf(objs[0]))
		remove := r.IntN(4) == 0
		for _, obj := range objs {
			obj.SetLabels(map[string]string{"n": fmt.Sprint(n)})
			switch {
			case err != nil:
				t.Create(obj)
			case remove:
				t.Delete(obj, store.DeleteOptions{})
			default:
				t.Update(obj)
			}
		}
		rev, err := t.Commit(ctx)
		if ctx.Err() == nil {
			Expect(err).NotTo(HaveOccurred())
		}
		pause(ctx, time.Duration(r.IntN(int(4*time.Millisecond))))
		for !f.forgetful && ctx.Err() == nil && f.tooFar(rev) {
			pause(ctx, time.Millisecond)
		}
	}
}

// tooFar reports whether the replica, or the next one that starts with its
// checkpoint, would soon be so far behind that it lists. Handlers would then
// receive only the net change.
func (f *faultRun) tooFar(written int64) bool {
	l := f.now.Load()
	at := l.replica.Snapshot().Revision()
	if f.path != "" {
		at = min(at, max(l.from, l.replica.Status().Checkpoint.Revision))
	}
	return written-at > informer.ReplayLimit/4
}

// read checks snapshots as they come.
func (f *faultRun) read(ctx context.Context, r *rand.Rand) {
	var last *informer.Snapshot
	var of *life
	for ctx.Err() == nil {
		l := f.now.Load()
		s := l.replica.Snapshot()
		if of == l {
			Expect(s.Revision()).To(BeNumerically(">=", last.Revision()))
		}
		l.expectWhole(s)
		last, of = s, l
		pause(ctx, time.Duration(r.IntN(int(time.Millisecond))))
	}
}

func (l *life) expectWhole(s *informer.Snapshot) {
	GinkgoHelper()
	seen := map[string][]string{}
	note := func(obj store.Object) { seen[obj.GetName()] = append(seen[obj.GetName()], obj.GetLabels()["n"]) }
	for obj := range l.maps.List(s, informer.ListOptions{}) {
		note(obj)
	}
	for obj := range l.deploys.List(s, informer.ListOptions{}) {
		note(obj)
	}
	for obj := range l.sites.List(s, informer.ListOptions{}) {
		note(obj)
	}
	for name, n := range seen {
		if len(n) != 3 || n[0] != n[1] || n[1] != n[2] {
			Fail(fmt.Sprintf("snapshot %d: group %s is of the transactions %v", s.Revision(), name, n))
		}
	}
}

// listen adds and removes handlers.
func (f *faultRun) listen(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		a := &audit[*appsv1.Deployment]{}
		reg := f.now.Load().deploys.AddHandler(a.handle)
		pause(ctx, time.Duration(r.IntN(int(100*time.Millisecond))))
		reg.Remove()
		Expect(a.found()).To(BeEmpty())
	}
}

// disturb causes the faults of networks, operators and crashes.
func (f *faultRun) disturb(ctx context.Context, r *rand.Rand) {
	faults := []func(context.Context, *rand.Rand){f.cut, f.cut, f.freeze}
	if f.forgetful {
		faults = append(faults, f.compact, f.cutAndCompact, f.cutAndCompact, f.restart)
	}
	if f.path != "" {
		faults = append(faults, f.liveAgain, f.liveAgain)
	}
	for ctx.Err() == nil {
		pause(ctx, time.Duration(r.IntN(int(100*time.Millisecond))))
		faults[r.IntN(len(faults))](ctx, r)
	}
}

func (f *faultRun) cut(ctx context.Context, r *rand.Rand) {
	f.link.Cut()
	pause(ctx, time.Duration(r.IntN(int(100*time.Millisecond))))
	f.link.Heal()
}

func (f *faultRun) freeze(ctx context.Context, r *rand.Rand) {
	f.link.Freeze()
	pause(ctx, time.Duration(r.IntN(int(600*time.Millisecond))))
	f.link.Heal()
}

func (f *faultRun) compact(ctx context.Context, _ *rand.Rand) {
	resp, err := f.direct.Client().Get(ctx, "/", clientv3.WithCountOnly())
	if err == nil {
		// It may have been compacted there before.
		_, _ = f.direct.Client().Compact(ctx, resp.Header.Revision)
	}
}

func (f *faultRun) cutAndCompact(ctx context.Context, r *rand.Rand) {
	f.link.Cut()
	pause(ctx, time.Duration(r.IntN(int(50*time.Millisecond))))
	f.compact(ctx, r)
	f.link.Heal()
}

func (f *faultRun) restart(ctx context.Context, r *rand.Rand) {
	l := f.now.Load()
	l.stop()
	pause(ctx, time.Duration(r.IntN(int(20*time.Millisecond))))
	l.stop = start(l.replica)
}

// liveAgain starts another replica with the checkpoint.
func (f *faultRun) liveAgain(ctx context.Context, r *rand.Rand) {
	l := f.now.Load()
	l.stop()
	f.past = append(f.past, l)
	pause(ctx, time.Duration(r.IntN(int(50*time.Millisecond))))
	f.live()
	pause(ctx, time.Duration(r.IntN(int(100*time.Millisecond))))
}
