package informer_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// newSaving returns a replica of ConfigMaps that keeps a checkpoint.
func newSaving(s *store.Store, path string, log ...*logLines) (*informer.Replica, *informer.Informer[*corev1.ConfigMap]) {
	GinkgoHelper()
	o := informer.Options{Checkpoint: informer.Checkpoint{Path: path, Interval: 20 * time.Millisecond}}
	if len(log) > 0 {
		o.Log = log[0].logger()
	}
	r := informer.Hasten(informer.NewReplica(s, o))
	return r, informerFor[*corev1.ConfigMap](r)
}

func checkpointPath() string { return filepath.Join(GinkgoT().TempDir(), "checkpoint") }

// changesOnly returns an audit's events without the initial ones.
func changesOnly[T store.Object](a *audit[T]) func() []string {
	return func() []string {
		lines := []string{}
		for i, e := range a.all() {
			if !e.Initial {
				lines = append(lines, a.lines()[i])
			}
		}
		return lines
	}
}

// process is one life of a replica: begun with a checkpoint, and stopped.
type process struct {
	replica  *informer.Replica
	maps     *informer.Informer[*corev1.ConfigMap]
	received *audit[*corev1.ConfigMap]
	log      *logLines
	stop     func()
}

func begin(ctx context.Context, s *store.Store, path string) *process {
	GinkgoHelper()
	p := &process{log: &logLines{}}
	p.replica, p.maps = newSaving(s, path, p.log)
	p.received = audited(p.maps)
	p.received.mayGoBack = true
	p.stop = startSynced(ctx, p.replica)
	return p
}

// end stops a process when its handler has received everything.
func (p *process) end() {
	GinkgoHelper()
	Eventually(p.received.received).Should(Equal(inReplica(p.maps)()))
	delivered(p.replica)
	p.stop()
	Expect(p.replica.Status().Checkpoint.Err).NotTo(HaveOccurred())
}

// delivered waits until all handlers have returned. A call that a stop interrupts does not
// count as received, so that the checkpoint would lack the change.
func delivered(r *informer.Replica) {
	GinkgoHelper()
	Eventually(func() bool { return informer.Delivering(r) }).Should(BeFalse())
}

func (p *process) start() string { return p.replica.Status().Checkpoint.Start }

// Parts of a kind that a replica may keep.
var (
	keepSome    = &informer.Scope[*corev1.ConfigMap]{Keep: func(k store.Key) bool { return k.Name == "updated" }}
	withoutData = &informer.Scope[*corev1.ConfigMap]{Transform: func(cm *corev1.ConfigMap) *corev1.ConfigMap {
		cm.Data = nil
		return cm
	}}
)

var _ = Describe("A checkpoint", func() {
	var (
		s    *store.Store
		path string
	)

	// three makes what is changed while no process runs.
	three := func(ctx context.Context) {
		GinkgoHelper()
		for _, name := range []string{"updated", "deleted", "same"} {
			create(ctx, s, configMap(name, "v", "1"))
		}
	}
	change := func(ctx context.Context) int64 {
		GinkgoHelper()
		updated, err := store.Get[*corev1.ConfigMap](ctx, s, key("updated"))
		Expect(err).NotTo(HaveOccurred())
		setValue(ctx, s, updated, "2")
		remove(ctx, s, configMap("deleted"))
		return create(ctx, s, configMap("added", "v", "1"))
	}
	changes := ConsistOf("MODIFIED updated 2", "DELETED deleted 1", "ADDED added 1")
	expectWhole := func(ctx context.Context, p *process) {
		GinkgoHelper()
		Expect(inReplica(p.maps)()).To(Equal(inEtcd(ctx, s, "core/configmaps")))
		Eventually(p.received.received).Should(Equal(inEtcd(ctx, s, "core/configmaps")))
	}

	BeforeEach(func() {
		s, path = newStore(), checkpointPath()
	})

	It("lets the next process deliver what happened meanwhile, without a list", func(ctx SpecContext) {
		three(ctx)
		p := begin(ctx, s, path)
		Expect(p.start()).To(Equal("there was none"))
		p.end()
		info, err := os.Stat(path)
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode().Perm()).To(BeEquivalentTo(0o600))
		Expect(p.replica.Status().Checkpoint.Bytes).To(Equal(info.Size()))
		change(ctx)

		next := begin(ctx, s, path)
		Eventually(next.received.lines).Should(Equal([]string{
			"ADDED deleted 1", "ADDED same 1", "ADDED updated 1",
			"MODIFIED updated 2", "DELETED deleted 1", "ADDED added 1"}))
		Expect(changesOnly(next.received)()).To(HaveLen(3))
		Expect(relists(next.replica)()).To(BeEmpty())
		Expect(next.start()).To(HavePrefix("begun at revision"))
		expectWhole(ctx, next)
		// On a busy machine a handler may delay the next checkpoint, which is written soon.
		Expect(next.log.with("")()).To(Or(BeEmpty(), HaveEach(ContainSubstring("checkpoint not written"))), "nothing disturbs it")
		next.end()

		third := begin(ctx, s, path)
		expectWhole(ctx, third)
		Expect(changesOnly(third.received)()).To(BeEmpty())
	}, SpecTimeout(specTimeout))

	It("is not written in negative time", func(ctx SpecContext) {
		o := informer.Options{Checkpoint: informer.Checkpoint{Path: filepath.Join(GinkgoT().TempDir(), "c"), Interval: -time.Second}}
		Expect(informer.NewReplica(newStore(), o).Run(ctx)).To(MatchError(ContainSubstring("interval is -1s")))
	}, SpecTimeout(time.Minute))

	It("gives a replica that is known to be up to date as soon as it is synced", func(ctx SpecContext) {
		three(ctx)
		begin(ctx, s, path).end()
		asked := time.Now()
		_, behind, _ := linked(etcd)
		behind = storeAt(behind.Client(), s.Prefix())
		kv := &meddlingKV{KV: behind.Client().KV, meddle: func() { // between the first look at etcd and the second
			defer GinkgoRecover()
			put(ctx, etcd.Client(), "/elsewhere", "")
		}}
		behind.Client().KV = kv
		r, _ := newSaving(behind, path)
		informer.Uncheck(r)
		kv.meddleAtTxn(2)
		startSynced(ctx, r)
		Expect(r.Status().CurrentAt).To(BeTemporally(">", asked))
		Expect(r.Healthy(specTimeout)).To(Succeed())
	}, SpecTimeout(specTimeout))

	DescribeTable("leaves out a kind that is kept only in part", func(ctx SpecContext, before, after *informer.Scope[*corev1.ConfigMap], initial []string) {
		three(ctx)
		create(ctx, s, deployment("d"))
		life := func(scope *informer.Scope[*corev1.ConfigMap]) (r *informer.Replica, a *audit[*corev1.ConfigMap], d *audit[*appsv1.Deployment], stop func()) {
			GinkgoHelper()
			r = informer.Hasten(informer.NewReplica(s, informer.Options{
				Checkpoint: informer.Checkpoint{Path: path, Interval: 20 * time.Millisecond}, OnMutation: failOnMutation}))
			var maps *informer.Informer[*corev1.ConfigMap]
			if scope != nil {
				maps = restrict(r, *scope)
			} else {
				maps = informerFor[*corev1.ConfigMap](r)
			}
			a = audited(maps)
			deploys := informerFor[*appsv1.Deployment](r)
			d = audited(deploys)
			stop = startSynced(ctx, r)
			Eventually(a.received).Should(Equal(inReplica(maps)()))
			Eventually(d.received).Should(Equal(inReplica(deploys)()))
			return r, a, d, stop
		}
		_, _, _, stop := life(before)
		stop()
		remove(ctx, s, configMap("deleted"))
		remove(ctx, s, deployment("d"))

		r, a, d, stop := life(after)
		Expect(r.Status().Checkpoint.Start).To(ContainSubstring("it lacks the kind ConfigMap"))
		Expect(relists(r)()).To(Equal(map[string]int64{"new kind": 1}))
		Expect(a.lines()).To(Equal(initial), "as etcd has it")
		Expect(changesOnly(a)()).To(BeEmpty())
		Eventually(d.lines).Should(Equal([]string{"ADDED d", "DELETED d"}))
		delivered(r)
		stop()
		if after == nil {
			setValue(ctx, s, must(store.Get[*corev1.ConfigMap](ctx, s, key("same"))), "2")
			_, a, _, _ = life(nil)
			Expect(changesOnly(a)()).To(Equal([]string{"MODIFIED same 2"}), "from then on it is whole")
		}
	},
		Entry("now", nil, keepSome, []string{"ADDED updated 1"}, SpecTimeout(specTimeout)),
		Entry("before", keepSome, nil, []string{"ADDED same 1", "ADDED updated 1"}, SpecTimeout(specTimeout)),
		Entry("before and now, of another part", keepSome, withoutData, []string{"ADDED same ", "ADDED updated "}, SpecTimeout(specTimeout)),
	)

	It("is compared with etcd if the changes since are compacted", func(ctx SpecContext) {
		three(ctx)
		begin(ctx, s, path).end()
		change(ctx)
		compact(ctx, etcd.Client())
		next := begin(ctx, s, path)
		Eventually(changesOnly(next.received)).Should(changes)
		Expect(relists(next.replica)()).To(Equal(map[string]int64{"compacted": 1}))
		Expect(next.replica.Status().ListsOfChanges).To(BeEquivalentTo(1))
		expectWhole(ctx, next)
	}, SpecTimeout(specTimeout))

	It("is compared with etcd if that is far ahead", func(ctx SpecContext) {
		three(ctx)
		begin(ctx, s, path).end()
		change(ctx)
		burn(ctx, etcd.Client(), informer.ReplayLimit)
		next := begin(ctx, s, path)
		Eventually(changesOnly(next.received)).Should(changes)
		Expect(relists(next.replica)()).To(Equal(map[string]int64{"far behind": 1}))
		Expect(next.start()).To(ContainSubstring("compared"))
		expectWhole(ctx, next)
	}, SpecTimeout(specTimeout))

	It("is not visible, and the replica not synced, before etcd has answered", func(ctx SpecContext) {
		link, behind, direct := linked(etcd)
		s = direct
		three(ctx)
		begin(ctx, s, path).end()
		rev := change(ctx)
		link.Cut()
		r, maps := newSaving(behind, path)
		informer.Await(r, impatient)
		a := audited(maps)
		start(r)
		Eventually(replicaErr(r)).Should(HaveOccurred())
		Expect(r.Snapshot().Revision()).To(BeZero())
		Expect(r.Status().Synced).To(BeFalse())
		link.Heal()
		Expect(r.WaitForSync(ctx)).To(Succeed())
		Expect(r.Snapshot().Revision()).To(BeNumerically(">=", rev))
		Eventually(changesOnly(a)).Should(changes)
	}, SpecTimeout(specTimeout))

	It("makes the replica list the kinds that it lacks", func(ctx SpecContext) {
		three(ctx)
		create(ctx, s, deployment("d"))
		begin(ctx, s, path).end()
		change(ctx)
		r, maps := newSaving(s, path)
		a := audited(maps)
		deployments := informerFor[*appsv1.Deployment](r)
		d := audited(deployments)
		startSynced(ctx, r)
		Eventually(changesOnly(a)).Should(changes)
		Eventually(d.lines).Should(Equal([]string{"ADDED d"}))
		Expect(changesOnly(d)()).To(BeEmpty())
		Expect(relists(r)()).To(Equal(map[string]int64{"new kind": 1}))
		Expect(r.Status().Checkpoint.Start).To(ContainSubstring("it lacks the kind Deployment"))
	}, SpecTimeout(specTimeout))

	It("is compared by values if another program has written it", func(ctx SpecContext) {
		three(ctx)
		begin(ctx, s, path).end()
		rev := change(ctx)
		r, maps := newSaving(s, path)
		informer.SetProgram(r, "another")
		a := audited(maps)
		startSynced(ctx, r)
		Eventually(changesOnly(a)).Should(changes)
		Expect(relists(r)()).To(Equal(map[string]int64{"checkpoint of another program": 1}))
		Expect(r.Snapshot().Revision()).To(BeNumerically(">=", rev))
		initial, _ := maps.Get(r.Snapshot(), key("same"))
		for _, e := range a.all() {
			Expect(e.Object).NotTo(BeIdenticalTo(initial), "what the other program decoded is decoded again")
		}
	}, SpecTimeout(specTimeout))

	It("has the keys of undecodable values", func(ctx SpecContext) {
		three(ctx)
		etcdKey := s.Prefix() + "core/configmaps/default/same"
		put(ctx, s.Client(), etcdKey, "{")
		put(ctx, s.Client(), etcdKey+"-not", "{")
		begin(ctx, s, path).end()
		next := begin(ctx, s, path)
		Expect(relists(next.replica)()).To(BeEmpty())
		Expect(next.replica.Status().Undecodable).To(HaveLen(2))
		Expect(next.replica.Status().Undecodable).To(HaveKey(etcdKey))
	}, SpecTimeout(specTimeout))

	It("keeps an object with a value that the program cannot decode, and still reports it", func(ctx SpecContext) {
		at := func(names ...string) *store.Store {
			o := store.Options{Scheme: scheme.Scheme, Prefix: s.Prefix()}
			for _, name := range names {
				o.EncryptionKeys = append(o.EncryptionKeys, store.EncryptionKey{Name: name, Secret: []byte("the-secret-of-" + name)})
			}
			return must(store.New(s.Client(), o))
		}
		create(ctx, at("k1"), configMap("a", "v", "1"))
		begin(ctx, at("k2", "k1"), path).end()
		r, maps := newSaving(at("k2"), path)
		informer.SetProgram(r, "another")
		startSynced(ctx, r)
		undecodable := HaveKey(s.Prefix() + "core/configmaps/default/a")
		Expect(r.Status().Undecodable).To(undecodable)

		informerFor[*appsv1.Deployment](r)
		Expect(r.WaitForSync(ctx)).To(Succeed())
		Expect(relists(r)()).To(HaveKey("new kind"))
		Expect(valueOf(maps, "a")()).To(Equal("1"))
		Expect(r.Status().Undecodable).To(undecodable)
	}, SpecTimeout(specTimeout))

	It("is written again only if an object has changed", func(ctx SpecContext) {
		three(ctx)
		p := begin(ctx, s, path)
		writes := func() int64 { return p.replica.Status().Checkpoint.Writes }
		Eventually(writes).Should(BeEquivalentTo(1))
		Expect(p.replica.WaitForRevision(ctx, put(ctx, s.Client(), "/elsewhere", ""))).To(Succeed())
		p.end()
		Expect(writes()).To(BeEquivalentTo(1))

		p = begin(ctx, s, path)
		p.end()
		Expect(writes()).To(BeZero(), "it is as it was found")
		p = begin(ctx, s, path)
		rev := change(ctx)
		Eventually(func() int64 { return p.replica.Status().Checkpoint.Revision }).Should(BeNumerically(">=", rev))
	}, SpecTimeout(specTimeout))

	It("is not written again for a kind that it leaves out", func(ctx SpecContext) {
		three(ctx)
		life := func() (*informer.Replica, func()) {
			r := informer.Hasten(informer.NewReplica(s, informer.Options{Checkpoint: informer.Checkpoint{Path: path, Interval: 20 * time.Millisecond}}))
			restrict(r, *keepSome)
			informerFor[*appsv1.Deployment](r)
			return r, startSynced(ctx, r)
		}
		r, stop := life()
		Eventually(func() int64 { return r.Status().Checkpoint.Writes }).Should(BeEquivalentTo(1))
		setValue(ctx, s, must(store.Get[*corev1.ConfigMap](ctx, s, key("updated"))), "2")
		Expect(must(r.FreshSnapshot(ctx)).Revision()).To(BeNumerically(">", r.Status().Checkpoint.Revision))
		stop()
		Expect(r.Status().Checkpoint.Writes).To(BeEquivalentTo(1))

		r, stop = life()
		rev := create(ctx, s, deployment("d"))
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		stop()
		Expect(r.Status().Checkpoint.Revision).To(BeNumerically(">=", rev))
	}, SpecTimeout(specTimeout))

	It("hides no change that a handler has not received", func(ctx SpecContext) {
		three(ctx)
		p := begin(ctx, s, path)
		Eventually(func() int64 { return p.replica.Status().Checkpoint.Writes }).Should(BeEquivalentTo(1))
		before := p.replica.Snapshot().Revision()
		release := make(chan struct{})
		entered := make(chan struct{}, 100)
		slow := p.maps.AddHandler(func(ctx context.Context, e informer.Event[*corev1.ConfigMap]) {
			if e.Initial {
				return
			}
			entered <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
			}
		})
		rev := change(ctx)
		Expect(p.replica.WaitForRevision(ctx, rev)).To(Succeed())
		Eventually(entered).Should(Receive())
		Eventually(func() error { return p.replica.Status().Checkpoint.Err }).Should(
			MatchError(ContainSubstring("a handler of ConfigMap has not returned from the changes up to revision")))
		Eventually(p.log.with("checkpoint not written; retrying")).Should(HaveLen(1))
		Expect(p.replica.Status().Checkpoint.Revision).To(BeNumerically("<=", before))

		close(release) // then everything is received
		Eventually(func() int64 { return p.replica.Status().Checkpoint.Revision }).Should(BeNumerically(">=", rev))
		Expect(p.replica.Status().Checkpoint.Err).NotTo(HaveOccurred())
		slow.Remove()

		// One that is interrupted may have let a change pass.
		p.maps.AddHandler(func(ctx context.Context, e informer.Event[*corev1.ConfigMap]) {
			if !e.Initial {
				entered <- struct{}{}
				<-ctx.Done()
			}
		})
		for len(entered) > 0 {
			<-entered
		}
		Expect(p.replica.WaitForRevision(ctx, create(ctx, s, configMap("late", "v", "1")))).To(Succeed())
		Eventually(entered).Should(Receive())
		p.stop()
		next := begin(ctx, s, path)
		Eventually(changesOnly(next.received)).Should(ContainElement("ADDED late 1"))
	}, SpecTimeout(specTimeout))

	It("names the process that already writes it", func(ctx SpecContext) {
		three(ctx)
		p := begin(ctx, s, path)
		Eventually(func() int64 { return p.replica.Status().Checkpoint.Writes }).Should(BeEquivalentTo(1))
		other, _ := newSaving(s, path)
		startSynced(ctx, other)
		change(ctx)
		Eventually(func() error { return other.Status().Checkpoint.Err }).Should(
			MatchError(ContainSubstring("another replica writes checkpoints to " + path)))
		p.stop()
		create(ctx, s, configMap("more"))
		Eventually(func() error { return other.Status().Checkpoint.Err }).ShouldNot(HaveOccurred())
	}, SpecTimeout(specTimeout))

	It("that cannot be written disturbs nothing, and is retried", func(ctx SpecContext) {
		three(ctx)
		dir := filepath.Join(filepath.Dir(path), "later")
		p := begin(ctx, s, filepath.Join(dir, "checkpoint"))
		Eventually(func() int64 { return p.replica.Status().Checkpoint.Failures }).Should(BeNumerically(">", 2))
		Expect(p.replica.Status().Checkpoint.Err).To(MatchError(ContainSubstring("no such file or directory")))
		Expect(p.log.with("checkpoint not written; retrying")()).To(HaveLen(1))
		expectWhole(ctx, p)
		Expect(os.Mkdir(dir, 0o700)).To(Succeed())
		Eventually(func() error { return p.replica.Status().Checkpoint.Err }).ShouldNot(HaveOccurred())
		p.end()
		Expect(begin(ctx, s, filepath.Join(dir, "checkpoint")).start()).To(HavePrefix("begun"))
	}, SpecTimeout(specTimeout))

	DescribeTable("that is no regular file is neither read nor replaced", func(ctx SpecContext, makeFile func(path string) error) {
		three(ctx)
		Expect(makeFile(path)).To(Succeed())
		before, err := os.Lstat(path)
		Expect(err).NotTo(HaveOccurred())
		r, maps := newSaving(s, path)
		a := audited(maps)
		stop := startSynced(ctx, r)
		Expect(r.Status().Checkpoint.Start).To(And(HavePrefix("not used: "), ContainSubstring("want a regular file")))
		Eventually(a.received).Should(HaveLen(3))
		Eventually(func() error { return r.Status().Checkpoint.Err }).Should(MatchError(And(
			ContainSubstring("want a regular file"), ContainSubstring(path))))
		stop()
		Expect(os.Lstat(path)).To(HaveField("Mode()", before.Mode()))
	},
		Entry("a pipe", SpecTimeout(specTimeout), func(path string) error { return syscall.Mkfifo(path, 0o600) }),
		Entry("a link to a pipe", SpecTimeout(specTimeout), func(path string) error {
			return errors.Join(syscall.Mkfifo(path+".pipe", 0o600), os.Symlink(path+".pipe", path))
		}),
		Entry("a directory", SpecTimeout(specTimeout), func(path string) error { return os.Mkdir(path, 0o700) }),
		Entry("a link to a device", SpecTimeout(specTimeout), func(path string) error { return os.Symlink("/dev/zero", path) }),
	)

	It("has said how it was used when a handler is first called", func(ctx SpecContext) {
		three(ctx)
		Expect(etcd.Client().Put(ctx, s.Prefix()+"core/configmaps/default/bad", "garbage")).Error().NotTo(HaveOccurred())
		begin(ctx, s, path).end()
		for range 10 {
			r, maps := newSaving(s, path)
			statuses := make(chan informer.Status, 10)
			maps.AddHandler(func(_ context.Context, e configMapEvent) { statuses <- r.Status() })
			maps.AddBatchHandler(informer.Debounce{}, func(context.Context, informer.Batch[*corev1.ConfigMap]) { statuses <- r.Status() })
			stop := startSynced(ctx, r)
			for range 4 {
				var st informer.Status
				Eventually(statuses).Should(Receive(&st))
				Expect(st.Checkpoint.Start).To(HavePrefix("begun at revision "))
				Expect(st.Undecodable).To(HaveLen(1))
			}
			stop()
		}
	}, SpecTimeout(specTimeout))

	DescribeTable("that is doubtful is not used, and the cause is reported",
		func(ctx SpecContext, spoil func([]byte) []byte, why string) {
			three(ctx)
			begin(ctx, s, path).end()
			file, err := os.ReadFile(path)
			Expect(err).NotTo(HaveOccurred())
			Expect(os.WriteFile(path, spoil(file), 0o600)).To(Succeed())
			change(ctx)
			next := begin(ctx, s, path)
			Expect(next.start()).To(And(HavePrefix("not used: "), ContainSubstring(why)))
			Expect(next.log.with("checkpoint not used")()).To(HaveLen(1))
			Expect(relists(next.replica)()).To(Equal(map[string]int64{"initial": 1}))
			expectWhole(ctx, next)
			Expect(changesOnly(next.received)()).To(BeEmpty())
			next.end()
			Expect(begin(ctx, s, path).start()).To(HavePrefix("begun"), "it was replaced")
		},
		Entry("cut short", func(b []byte) []byte { return b[:len(b)/2] }, "damaged or cut short", SpecTimeout(specTimeout)),
		Entry("empty", func(b []byte) []byte { return nil }, "damaged or cut short", SpecTimeout(specTimeout)),
		Entry("damaged", func(b []byte) []byte { b[len(b)/2] ^= 4; return b }, "damaged or cut short", SpecTimeout(specTimeout)),
		Entry("too long", func(b []byte) []byte { return append(b, 0) }, "damaged or cut short", SpecTimeout(specTimeout)),
		Entry("something else", func(b []byte) []byte { return []byte("{\"kind\": \"Checkpoint\", \"items\": []}") }, "not a checkpoint", SpecTimeout(specTimeout)),
		Entry("of an older version", informer.OfVersion(2), "version 2 of the format; this program has version 3", SpecTimeout(specTimeout)),
		Entry("of a newer version", informer.OfVersion(4), "version 4 of the format; this program has version 3", SpecTimeout(specTimeout)),
	)

	It("of another cluster is not used", func(ctx SpecContext) {
		three(ctx)
		begin(ctx, s, path).end()
		other := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
		s = storeAt(other.Client(), s.Prefix())
		create(ctx, s, configMap("other", "v", "1"))
		next := begin(ctx, s, path)
		Expect(next.start()).To(ContainSubstring("not used: it is of cluster"))
		Eventually(next.received.lines).Should(Equal([]string{"ADDED other 1"}))
		Expect(next.log.with("checkpoint not used")()).To(HaveLen(1))
	}, SpecTimeout(specTimeout))

	It("of another prefix is not used", func(ctx SpecContext) {
		three(ctx)
		begin(ctx, s, path).end()
		s = newStore()
		next := begin(ctx, s, path)
		Expect(next.start()).To(ContainSubstring("not used: it is of the prefix"))
		create(ctx, s, configMap("own", "v", "1"))
		Eventually(next.received.lines).Should(Equal([]string{"ADDED own 1"}))
	}, SpecTimeout(specTimeout))

	It("keeps values encrypted", func(ctx SpecContext) {
		encrypted, err := store.New(s.Client(), store.Options{Scheme: scheme.Scheme, Prefix: s.Prefix(),
			EncryptionKeys: []store.EncryptionKey{{Name: "k", Secret: []byte("0123456789abcdef")}}})
		Expect(err).NotTo(HaveOccurred())
		s = encrypted
		create(ctx, s, configMap("a", "v", "a-very-well-kept-secret"))
		begin(ctx, s, path).end()
		file, err := os.ReadFile(path)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(file)).NotTo(ContainSubstring("well-kept"))
		next := begin(ctx, s, path)
		Expect(next.start()).To(HavePrefix("begun"))
		Expect(valueOf(next.maps, "a")()).To(Equal("a-very-well-kept-secret"))
	}, SpecTimeout(specTimeout))
})
