package informer_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A replica that missed changes", func() {
	It("delivers what was added, updated and deleted, once, after a compaction", func(ctx SpecContext) {
		link, behind, direct := linked(etcd)
		updated, deleted, again := configMap("updated", "v", "1"), configMap("deleted", "v", "1"), configMap("again", "v", "1")
		for _, cm := range []*corev1.ConfigMap{updated, deleted, again, configMap("same", "v", "1")} {
			create(ctx, direct, cm)
		}
		r, maps := newReplica(behind)
		byValue := maps.AddIndex(func(cm *corev1.ConfigMap) []string { return []string{cm.Data["v"]} })
		a := audited(maps)
		startSynced(ctx, r)
		Eventually(a.lines).Should(HaveLen(4))
		same, _ := maps.Get(r.Snapshot(), key("same"))

		cutOff(ctx, link, r)
		create(ctx, direct, configMap("passing", "v", "2"))
		remove(ctx, direct, configMap("passing"))
		setValue(ctx, direct, updated, "2")
		setValue(ctx, direct, updated, "3")
		remove(ctx, direct, deleted)
		remove(ctx, direct, again)
		create(ctx, direct, configMap("again", "v", "2"))
		create(ctx, direct, configMap("added", "v", "2"))
		rev := put(ctx, direct.Client(), "/elsewhere", "")
		compact(ctx, etcd.Client())
		link.Heal()

		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Eventually(func() []string { return a.lines()[4:] }).Should(Equal([]string{
			"MODIFIED updated 3", "DELETED again 1", "ADDED again 2", "ADDED added 2", "DELETED deleted 1",
		}))
		Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1, "compacted": 1}))
		Expect(a.received()).To(Equal(inEtcd(ctx, direct, "core/configmaps")))
		stillSame, _ := maps.Get(r.Snapshot(), key("same"))
		Expect(stillSame).To(BeIdenticalTo(same), "what did not change is not decoded again")
		var names []string
		for cm := range byValue.Lookup(r.Snapshot(), "2") {
			names = append(names, cm.Name)
		}
		Expect(names).To(Equal([]string{"added", "again"}))

		// It follows from there on.
		Expect(r.WaitForRevision(ctx, setValue(ctx, direct, updated, "4"))).To(Succeed())
		Eventually(a.lines).Should(ContainElement("MODIFIED updated 4"))
	}, SpecTimeout(specTimeout))

	It("lists if it is far behind", func(ctx SpecContext) {
		link, behind, direct := linked(etcd)
		cm := configMap("a", "v", "1")
		create(ctx, direct, cm)
		r, maps := newReplica(behind)
		a := audited(maps)
		startSynced(ctx, r)
		Eventually(a.lines).Should(HaveLen(1))

		cutOff(ctx, link, r)
		setValue(ctx, direct, cm, "2")
		burn(ctx, etcd.Client(), informer.ReplayLimit)
		rev := setValue(ctx, direct, cm, "3")
		link.Heal()
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1", "MODIFIED a 3"}))
		Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1, "far behind": 1}))
	}, SpecTimeout(specTimeout))

	It("replays the changes if it is not far behind", func(ctx SpecContext) {
		link, behind, direct := linked(etcd)
		cm := configMap("a", "v", "1")
		create(ctx, direct, cm)
		r, maps := newReplica(behind)
		a := audited(maps)
		startSynced(ctx, r)
		cutOff(ctx, link, r)
		setValue(ctx, direct, cm, "2")
		burn(ctx, etcd.Client(), informer.ReplayLimit/2)
		rev := setValue(ctx, direct, cm, "3")
		link.Heal()
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1", "MODIFIED a 2", "MODIFIED a 3"}))
		Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1}))
	}, SpecTimeout(specTimeout))

	It("delivers what happened while it did not run", func(ctx SpecContext) {
		s := newStore()
		updated := configMap("updated", "v", "1")
		create(ctx, s, updated)
		create(ctx, s, configMap("deleted", "v", "1"))
		r, maps := newReplica(s)
		a := audited(maps)
		stop := startSynced(ctx, r)
		Eventually(a.lines).Should(HaveLen(2))
		stop()
		setValue(ctx, s, updated, "2")
		rev := remove(ctx, s, configMap("deleted"))
		late := audited(maps) // begins with what the replica stands at
		Expect(maps.Len(r.Snapshot())).To(Equal(2))
		start(r)
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Eventually(a.lines).Should(Equal([]string{"ADDED deleted 1", "ADDED updated 1", "MODIFIED updated 2", "DELETED deleted 1"}))
		Eventually(late.lines).Should(Equal(a.lines()))
	}, SpecTimeout(specTimeout))
})

var _ = Describe("A replica whose etcd lost its data", func() {
	var (
		cluster *etcdtest.Cluster
		s       *store.Store
		r       *informer.Replica
		maps    *informer.Informer[*corev1.ConfigMap]
		a       *audit[*corev1.ConfigMap]
		log     *logLines
		dir     string
	)

	BeforeEach(func(ctx SpecContext) {
		dir = GinkgoT().TempDir()
		cluster = etcdtest.Start(GinkgoTB(), etcdtest.Options{DataDir: dir})
		s = newStoreOn(cluster.Client())
		log = &logLines{}
		r, maps = newReplica(s, log.logger())
		a = audited(maps)
		a.mayGoBack = true
	})

	// diverse makes objects of which each kind of change will be found.
	diverse := func(ctx SpecContext) {
		GinkgoHelper()
		create(ctx, s, configMap("kept", "v", "1"))
		create(ctx, s, configMap("lost", "v", "1"))
		burn(ctx, s.Client(), 20)
		create(ctx, s, configMap("newest", "v", "1"))
	}

	It("starts again after a wipe", func(ctx SpecContext) {
		diverse(ctx)
		startSynced(ctx, r)
		Eventually(a.lines).Should(HaveLen(3))
		waiting := make(chan error, 1)
		future := r.Snapshot().Revision() + 1000
		go func() { waiting <- r.WaitForRevision(ctx, future) }()

		Expect(cluster.Wipe(ctx)).To(Succeed())
		create(ctx, s, configMap("kept", "v", "2"))
		fresh, err := r.FreshSnapshot(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(inSnapshot(maps, fresh)).To(Equal(inEtcd(ctx, s, "core/configmaps")))
		Eventually(a.received).Should(Equal(inEtcd(ctx, s, "core/configmaps")))
		Expect(a.lines()[3:]).To(ConsistOf("DELETED kept 1", "ADDED kept 2", "DELETED lost 1", "DELETED newest 1"))
		Eventually(waiting).Should(Receive(BeNil()), "what it waits for is lost")
		Expect(log.with("etcd was wiped or restored; listed")()).To(HaveLen(1))
		Expect(relists(r)()).To(HaveKeyWithValue("revision went back", BeEquivalentTo(1)))

		Expect(r.WaitForRevision(ctx, create(ctx, s, configMap("next", "v", "1")))).To(Succeed())
		Expect(valueOf(maps, "next")()).To(Equal("1"))
	}, SpecTimeout(specTimeout))

	It("notices by itself, if nothing happens in the new etcd", func(ctx SpecContext) {
		diverse(ctx)
		startSynced(ctx, r)
		Eventually(a.lines).Should(HaveLen(3))
		Expect(cluster.Wipe(ctx)).To(Succeed())
		Eventually(a.received).Should(BeEmpty())
		Expect(maps.Len(r.Snapshot())).To(BeZero())
	}, SpecTimeout(specTimeout))

	It("notices although the new etcd's revision has passed its own", func(ctx SpecContext) {
		link, behind, direct := linked(cluster)
		s = direct
		r, maps := newReplica(behind, log.logger())
		a := audited(maps)
		a.mayGoBack = true
		diverse(ctx)
		startSynced(ctx, r)
		Eventually(a.lines).Should(HaveLen(3))
		revision := r.Snapshot().Revision()

		cutOff(ctx, link, r)
		Expect(cluster.Wipe(ctx)).To(Succeed())
		create(ctx, s, configMap("kept", "v", "2"))
		burn(ctx, s.Client(), int(revision)+10)
		link.Heal()
		Eventually(inReplica(maps)).Should(Equal(inEtcd(ctx, s, "core/configmaps")))
		Eventually(a.received).Should(Equal(inEtcd(ctx, s, "core/configmaps")))
		Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1, "data replaced": 1}))
		Expect(log.with("etcd was wiped or restored; listed")()).To(HaveLen(1))
	}, SpecTimeout(specTimeout))

	It("goes back to a restored older backup", func(ctx SpecContext) {
		diverse(ctx)
		Expect(cluster.Member(0).Stop()).To(Succeed())
		backup := GinkgoT().TempDir()
		Expect(os.CopyFS(filepath.Join(backup, "m0"), os.DirFS(filepath.Join(dir, "m0")))).To(Succeed())
		Expect(cluster.Member(0).Restart(ctx)).To(Succeed())

		startSynced(ctx, r)
		Eventually(a.lines).Should(HaveLen(3))
		kept, err := store.Get[*corev1.ConfigMap](ctx, s, key("kept"))
		Expect(err).NotTo(HaveOccurred())
		setValue(ctx, s, kept, "2")
		remove(ctx, s, configMap("lost"))
		Expect(r.WaitForRevision(ctx, create(ctx, s, configMap("undone", "v", "1")))).To(Succeed())
		Eventually(a.lines).Should(HaveLen(6))

		Expect(cluster.Member(0).Stop()).To(Succeed())
		Expect(os.RemoveAll(filepath.Join(dir, "m0"))).To(Succeed())
		Expect(os.Rename(filepath.Join(backup, "m0"), filepath.Join(dir, "m0"))).To(Succeed())
		Expect(cluster.Member(0).Restart(ctx)).To(Succeed())
		Eventually(a.received).Should(Equal(inEtcd(ctx, s, "core/configmaps")))
		Expect(a.lines()[6:]).To(ConsistOf("MODIFIED kept 1", "ADDED lost 1", "DELETED undone 1"))
		Expect(inReplica(maps)()).To(Equal(a.received()))
	}, SpecTimeout(specTimeout))

	It("does not deliver objects that are the same in both", func(ctx SpecContext) {
		create(ctx, s, configMap("a", "v", "1"))
		startSynced(ctx, r)
		Eventually(a.lines).Should(HaveLen(1))
		etcdKey := s.Prefix() + "core/configmaps/default/a"
		got, err := s.Client().Get(ctx, etcdKey)
		Expect(err).NotTo(HaveOccurred())
		burn(ctx, s.Client(), 5)
		_, err = r.FreshSnapshot(ctx)
		Expect(err).NotTo(HaveOccurred())

		Expect(cluster.Wipe(ctx)).To(Succeed())
		put(ctx, s.Client(), etcdKey, string(got.Kvs[0].Value)) // the first write, as it was before
		_, err = r.FreshSnapshot(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(relists(r)()).To(HaveKey("revision went back"))
		create(ctx, s, configMap("b", "v", "1"))
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1", "ADDED b 1"}))
	}, SpecTimeout(specTimeout))
})

func put(ctx context.Context, c *clientv3.Client, key, value string) int64 {
	GinkgoHelper()
	resp, err := c.Put(ctx, key, value)
	Expect(err).NotTo(HaveOccurred())
	return resp.Header.Revision
}

var _ = Describe("A value that cannot be decoded", func() {
	const garbage = "{"

	It("never looks like a deletion, and is reported until it is repaired", func(ctx SpecContext) {
		s := newStore()
		known, unknown := configMap("known", "v", "1"), s.Prefix()+"core/configmaps/default/unknown"
		create(ctx, s, known)
		put(ctx, s.Client(), unknown, garbage)
		var log logLines
		r, maps := newReplica(s, log.logger())
		a := audited(maps)
		startSynced(ctx, r)
		Expect(r.Status().Undecodable).To(HaveKey(unknown), "found by the list")
		Eventually(a.lines).Should(Equal([]string{"ADDED known 1"}))

		etcdKey := s.Prefix() + "core/configmaps/default/known"
		got, err := s.Client().Get(ctx, etcdKey)
		Expect(err).NotTo(HaveOccurred())
		Expect(r.WaitForRevision(ctx, put(ctx, s.Client(), etcdKey, garbage))).To(Succeed())
		Expect(r.Status().Undecodable).To(HaveLen(2))
		Expect(valueOf(maps, "known")()).To(Equal("1"))
		Expect(log.with("cannot be decoded")()).To(HaveLen(1), "one line for each kind and cause")
		Expect(log.with(unknown)()).To(HaveLen(1))

		rev := put(ctx, s.Client(), etcdKey, string(got.Kvs[0].Value))
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Expect(r.Status().Undecodable).To(HaveLen(1))
		_, err = s.Client().Delete(ctx, unknown)
		Expect(err).NotTo(HaveOccurred())
		Expect(r.WaitForRevision(ctx, remove(ctx, s, configMap("known")))).To(Succeed())
		Expect(r.Status().Undecodable).To(BeEmpty())
		Eventually(a.lines).Should(Equal([]string{"ADDED known 1", "MODIFIED known 1", "DELETED known 1"}))
		Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1}))
	}, SpecTimeout(specTimeout))

	It("keeps the last good object over a relist, and is forgotten when the key is gone", func(ctx SpecContext) {
		link, behind, direct := linked(etcd)
		etcdKey := direct.Prefix() + "core/configmaps/default/"
		create(ctx, direct, configMap("bad", "v", "1"))
		create(ctx, direct, configMap("good", "v", "1"))
		create(ctx, direct, configMap("gone", "v", "1")) // the newest
		r, maps := newReplica(behind)
		a := audited(maps)
		startSynced(ctx, r)
		Expect(r.WaitForRevision(ctx, put(ctx, direct.Client(), etcdKey+"gone", garbage))).To(Succeed())
		Eventually(a.lines).Should(HaveLen(3))

		cutOff(ctx, link, r)
		link.Heal()
		Eventually(replicaErr(r)).ShouldNot(HaveOccurred())
		Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1}), "nor does it look like another etcd")

		cutOff(ctx, link, r)
		put(ctx, direct.Client(), etcdKey+"bad", garbage)
		put(ctx, direct.Client(), etcdKey+"not/a/name", "{}")
		_, err := direct.Client().Delete(ctx, etcdKey+"gone")
		Expect(err).NotTo(HaveOccurred())
		compact(ctx, etcd.Client())
		link.Heal()
		Expect(r.WaitForRevision(ctx, create(ctx, direct, configMap("new", "v", "1")))).To(Succeed())
		Expect(relists(r)()).To(HaveKey("compacted"))
		Eventually(a.lines).Should(Equal([]string{
			"ADDED bad 1", "ADDED gone 1", "ADDED good 1", "DELETED gone 1", "ADDED new 1"}))
		Expect(valueOf(maps, "bad")()).To(Equal("1"))
		Expect(r.Status().Undecodable).To(HaveLen(2))
		Expect(r.Status().Undecodable).To(HaveKey(etcdKey + "bad"))
		Expect(r.Status().Undecodable).To(HaveKey(etcdKey + "not/a/name"))
	}, SpecTimeout(specTimeout))

	It("does not hold the replica up if its decoding would take too long", func(ctx SpecContext) {
		s := newStore()
		etcdKey := s.Prefix() + "core/pods/default/"
		pod := func(name, cpu string) {
			put(ctx, s.Client(), etcdKey+name, fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"default","name":%q},`+
				`"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":%q}}}]}}`, name, cpu))
		}
		pod("listed", "1e-999999999")
		r := newBareReplica(s)
		pods := informerFor[*corev1.Pod](r)
		startSynced(ctx, r)
		pod("watched", "1E+999999999 ")
		pod("good", "1")
		Eventually(func() int { return pods.Len(r.Snapshot()) }).Should(Equal(1))
		Expect(r.Status().Undecodable).To(HaveLen(2))
		Expect(r.Status().Undecodable).To(HaveKeyWithValue(etcdKey+"listed", MatchError(ContainSubstring("the exponent has more than three digits"))))
		Expect(r.Status().Undecodable).To(HaveKey(etcdKey + "watched"))
	}, SpecTimeout(specTimeout))

	It("may even make its type's methods panic", func(ctx SpecContext) {
		s := newStore()
		r := newBareReplica(panickyStore(s))
		i := informerFor[*panicky](r)
		put(ctx, s.Client(), s.Prefix()+"example.com/panickies/default/a",
			`{"apiVersion":"example.com/v1","kind":"Panicky","metadata":{"namespace":"default","name":"a"},"spec":{"field":"boom"}}`)
		startSynced(ctx, r)
		Expect(i.Len(r.Snapshot())).To(BeZero())
		Expect(fmt.Sprint(r.Status().Undecodable)).To(ContainSubstring("decoding panicked: boom"))
	}, SpecTimeout(specTimeout))
})

type panickyField string

func (panickyField) UnmarshalJSON([]byte) error { panic("boom") }

type panickySpec struct {
	Field panickyField `json:"field,omitempty"`
}

type panicky = store.Resource[panickySpec, siteStatus]
