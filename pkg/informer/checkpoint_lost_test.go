package informer_test

import (
	"context"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A checkpoint of an etcd that has lost its data since", func() {
	var (
		cluster *etcdtest.Cluster
		s       *store.Store
		path    string
		dir     string
	)
	BeforeEach(func(ctx SpecContext) {
		dir, path = GinkgoT().TempDir(), checkpointPath()
		cluster = etcdtest.Start(GinkgoTB(), etcdtest.Options{DataDir: dir})
		s = newStoreOn(cluster.Client())
		create(ctx, s, configMap("kept", "v", "1"))
		create(ctx, s, configMap("lost", "v", "1"))
	})

	expect := func(ctx context.Context, p *process, reason string, changes ...any) {
		GinkgoHelper()
		Eventually(changesOnly(p.received)).Should(ConsistOf(changes...))
		Eventually(p.received.received).Should(Equal(inEtcd(ctx, s, "core/configmaps")))
		Expect(inReplica(p.maps)()).To(Equal(inEtcd(ctx, s, "core/configmaps")))
		Expect(relists(p.replica)()).To(Equal(map[string]int64{reason: 1}))
		Expect(p.start()).To(ContainSubstring("etcd was wiped or restored"))
		Expect(p.log.with("etcd was wiped or restored; listed")()).To(HaveLen(1))
		p.end()
		Expect(begin(ctx, s, path).start()).NotTo(ContainSubstring("compared"))
	}

	It("wiped: the checkpoint is newer than etcd", func(ctx SpecContext) {
		burn(ctx, s.Client(), 20)
		begin(ctx, s, path).end()
		Expect(cluster.Wipe(ctx)).To(Succeed())
		create(ctx, s, configMap("kept", "v", "2"))
		expect(ctx, begin(ctx, s, path), "revision went back", "DELETED kept 1", "ADDED kept 2", "DELETED lost 1")
	}, SpecTimeout(specTimeout))

	DescribeTable("does not end a wait for a revision of the new data", func(ctx SpecContext, old, new int) {
		burn(ctx, s.Client(), old)
		begin(ctx, s, path).end()
		Expect(cluster.Wipe(ctx)).To(Succeed())
		rev := create(ctx, s, configMap("kept", "v", "2"))
		burn(ctx, s.Client(), new)
		r, maps := newSaving(s, path)
		seen := make(chan string, 1)
		r.AfterRevision(rev, func() { seen <- valueOf(maps, "kept")() })
		fresh := make(chan string, 1)
		go func() {
			defer GinkgoRecover()
			snapshot, err := r.FreshSnapshot(ctx)
			Expect(err).NotTo(HaveOccurred())
			cm, _ := maps.Get(snapshot, key("kept"))
			fresh <- cm.Data["v"]
		}()
		Eventually(func() int { return informer.Waiting(r) }).Should(Equal(2))
		startSynced(ctx, r)
		Eventually(seen).Should(Receive(Equal("2")))
		Eventually(fresh).Should(Receive(Equal("2")))
	},
		Entry("if the checkpoint is newer than etcd", 20, 0, SpecTimeout(specTimeout)),
		Entry("if etcd's revision has passed the checkpoint's", 0, 50, SpecTimeout(specTimeout)),
	)

	It("wiped, and etcd's revision has passed the checkpoint's", func(ctx SpecContext) {
		p := begin(ctx, s, path)
		p.end()
		Expect(cluster.Wipe(ctx)).To(Succeed())
		create(ctx, s, configMap("kept", "v", "2"))
		burn(ctx, s.Client(), int(p.replica.Snapshot().Revision())+10)
		expect(ctx, begin(ctx, s, path), "data replaced", "DELETED kept 1", "ADDED kept 2", "DELETED lost 1")
	}, SpecTimeout(specTimeout))

	Context("restored from a backup with the same epoch key", func() {
		// restore makes changes, has them saved, and takes etcd back.
		restore := func(ctx SpecContext, change func()) *process {
			GinkgoHelper()
			begin(ctx, s, checkpointPath()).end() // somebody made the epoch key
			Expect(cluster.Member(0).Stop()).To(Succeed())
			backup := GinkgoT().TempDir()
			Expect(os.CopyFS(filepath.Join(backup, "m0"), os.DirFS(filepath.Join(dir, "m0")))).To(Succeed())
			Expect(cluster.Member(0).Restart(ctx)).To(Succeed())
			change()
			p := begin(ctx, s, path)
			p.end()
			Expect(cluster.Member(0).Stop()).To(Succeed())
			Expect(os.RemoveAll(filepath.Join(dir, "m0"))).To(Succeed())
			Expect(os.Rename(filepath.Join(backup, "m0"), filepath.Join(dir, "m0"))).To(Succeed())
			Expect(cluster.Member(0).Restart(ctx)).To(Succeed())
			return p
		}

		It("is newer than etcd", func(ctx SpecContext) {
			restore(ctx, func() {
				remove(ctx, s, configMap("lost"))
				create(ctx, s, configMap("undone", "v", "1"))
			})
			expect(ctx, begin(ctx, s, path), "revision went back", "ADDED lost 1", "DELETED undone 1")
		}, SpecTimeout(specTimeout))

		It("is rejected because of one of its newest objects, if etcd's revision has passed it", func(ctx SpecContext) {
			p := restore(ctx, func() {
				kept, err := store.Get[*corev1.ConfigMap](ctx, s, key("kept"))
				Expect(err).NotTo(HaveOccurred())
				setValue(ctx, s, kept, "2")
				create(ctx, s, configMap("again", "v", "1")) // the newest
			})
			burn(ctx, s.Client(), int(p.replica.Snapshot().Revision()))
			create(ctx, s, configMap("again", "v", "2")) // for all that it tells, this came later
			expect(ctx, begin(ctx, s, path), "data replaced", "DELETED again 1", "ADDED again 2", "MODIFIED kept 1")
		}, SpecTimeout(specTimeout))

		It("is rejected if an operator has deleted the epoch key", func(ctx SpecContext) {
			p := restore(ctx, func() {
				create(ctx, s, configMap("undone", "v", "1"))
				create(ctx, s, configMap("again", "v", "1"))
			})
			burn(ctx, s.Client(), int(p.replica.Snapshot().Revision()))
			create(ctx, s, configMap("again", "v", "2"))
			_, err := s.Client().Delete(ctx, s.Prefix()+".epoch")
			Expect(err).NotTo(HaveOccurred())
			expect(ctx, begin(ctx, s, path), "data replaced", "DELETED again 1", "ADDED again 2", "DELETED undone 1")
		}, SpecTimeout(specTimeout))
	})
})
