package informer_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A replica", func() {
	It("lists, watches, and delivers each change once", func(ctx SpecContext) {
		s := newStore()
		create(ctx, s, configMap("a", "v", "1"))
		r, maps := newReplica(s)
		a := audited(maps)
		startSynced(ctx, r)
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1"}))

		b := configMap("b", "v", "1")
		create(ctx, s, b)
		setValue(ctx, s, b, "2")
		Expect(r.WaitForRevision(ctx, remove(ctx, s, b))).To(Succeed())
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1", "ADDED b 1", "MODIFIED b 2", "DELETED b 2"}))
		_, ok := maps.Get(r.Snapshot(), key("b"))
		Expect(ok).To(BeFalse())

		events := a.all()
		Expect(events[0].Initial).To(BeTrue())
		Expect(events[1].Initial).To(BeFalse())
		Expect(events[2].Old.Data).To(HaveKeyWithValue("v", "1"))
	}, SpecTimeout(specTimeout))

	It("is empty, and shows it, before the first list", func(ctx SpecContext) {
		r, maps := newReplica(newStore())
		Expect(r.Snapshot().Revision()).To(BeZero())
		Expect(maps.Listed(r.Snapshot())).To(BeFalse())
		Expect(maps.Len(r.Snapshot())).To(BeZero())
		Expect(slices.Collect(maps.List(r.Snapshot(), informer.ListOptions{}))).To(BeEmpty())
		Expect(r.Status().Synced).To(BeFalse())
		startSynced(ctx, r)
		Expect(maps.Listed(r.Snapshot())).To(BeTrue())
		Expect(r.Status().Synced).To(BeTrue())
	}, SpecTimeout(specTimeout))

	It("takes in a kind that is added while it runs, and delivers it only to that kind's handlers", func(ctx SpecContext) {
		s := newStore()
		create(ctx, s, deployment("d"))
		create(ctx, s, configMap("a", "v", "1"))
		r, maps := newReplica(s)
		a := audited(maps)
		startSynced(ctx, r)

		before := r.Snapshot()
		deployments := informerFor[*appsv1.Deployment](r)
		received := audited(deployments)
		Expect(r.WaitForSync(ctx)).To(Succeed())
		Expect(deployments.Len(r.Snapshot())).To(Equal(1))
		Expect(deployments.Listed(before)).To(BeFalse())
		Expect(r.WaitForRevision(ctx, create(ctx, s, deployment("e")))).To(Succeed())
		Eventually(received.lines).Should(Equal([]string{"ADDED d", "ADDED e"}))
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1"}))
		Expect(relists(r)()).To(HaveKeyWithValue("new kind", BeNumerically(">=", 1)))
	}, SpecTimeout(specTimeout))

	It("starts when its first kind is added after Run", func(ctx SpecContext) {
		s := newStore()
		create(ctx, s, configMap("a", "v", "1"))
		r := informer.NewReplica(s, informer.Options{})
		start(r)
		Eventually(func() bool { return informer.Running(r) }).Should(BeTrue())
		maps := informerFor[*corev1.ConfigMap](r)
		Expect(r.WaitForSync(ctx)).To(Succeed())
		Expect(maps.Len(r.Snapshot())).To(Equal(1))
	}, SpecTimeout(specTimeout))

	It("loses nothing while kinds and indexes are added under load", func(ctx SpecContext) {
		s := newStore()
		r, maps := newReplica(s)
		a := audited(maps)
		startSynced(ctx, r)
		done := make(chan struct{})
		go func() {
			defer GinkgoRecover()
			defer close(done)
			for i := range 200 {
				create(ctx, s, configMap(fmt.Sprintf("cm-%03d", i)))
				create(ctx, s, deployment(fmt.Sprintf("d-%03d", i)))
			}
		}()
		deployments := informerFor[*appsv1.Deployment](r)
		byName := maps.AddIndex(func(cm *corev1.ConfigMap) []string { return []string{cm.Name} })
		received := audited(deployments)
		sites := informerFor[*site](r)
		Eventually(done).Should(BeClosed())
		_, err := r.FreshSnapshot(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(inReplica(maps)()).To(Equal(inEtcd(ctx, s, "core/configmaps")))
		Expect(inReplica(deployments)()).To(Equal(inEtcd(ctx, s, "apps/deployments")))
		Expect(sites.Len(r.Snapshot())).To(BeZero())
		Eventually(a.received).Should(Equal(inReplica(maps)()))
		Eventually(received.received).Should(Equal(inReplica(deployments)()))
		Expect(slices.Collect(byName.Values(r.Snapshot()))).To(HaveLen(200))
	}, SpecTimeout(specTimeout))

	It("never shows a part of a transaction", func(ctx SpecContext) {
		s := newStore()
		r, maps := newReplica(s)
		objs := make([]*corev1.ConfigMap, 64)
		sites := make([]*site, 64)
		t := s.Txn()
		for i := range objs {
			objs[i], sites[i] = configMap(fmt.Sprint("cm-", i), "v", "0"), newSite(fmt.Sprint("site-", i), "0")
			t.Create(objs[i])
			t.Create(sites[i])
		}
		_, err := t.Commit(ctx)
		Expect(err).NotTo(HaveOccurred())
		siteInformer := informerFor[*site](r)
		startSynced(ctx, r)

		var stop atomic.Bool
		read := make(chan int)
		go func() {
			defer GinkgoRecover()
			n := 0
			for ; !stop.Load(); n++ {
				expectWhole(maps, siteInformer, r.Snapshot())
			}
			read <- n
		}()
		var rev int64
		for v := range 6 {
			t := s.Txn()
			for i := range objs {
				objs[i].Data["v"], sites[i].Spec.Region = fmt.Sprint(v+1), fmt.Sprint(v+1)
				t.Update(objs[i])
				t.Update(sites[i])
			}
			rev, err = t.Commit(ctx)
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		stop.Store(true)
		Expect(<-read).To(BeNumerically(">", 0))
	}, SpecTimeout(specTimeout))

	It("delivers each deletion when a prefix is deleted in one revision", func(ctx SpecContext) {
		s := newStore()
		for i := range 5 {
			create(ctx, s, configMap(fmt.Sprint("cm-", i), "v", "1"))
		}
		r, maps := newReplica(s)
		a := audited(maps)
		startSynced(ctx, r)
		resp, err := s.Client().Delete(ctx, s.Prefix(), clientv3.WithPrefix())
		Expect(err).NotTo(HaveOccurred())
		Expect(r.WaitForRevision(ctx, resp.Header.Revision)).To(Succeed())
		Expect(maps.Len(r.Snapshot())).To(BeZero())
		// Not "nothing was received": that also holds before the first Added.
		Eventually(a.all).Should(HaveLen(10))
		Expect(a.received()).To(BeEmpty())
		for _, e := range a.all()[5:] {
			Expect(e.Revision).To(Equal(resp.Header.Revision))
			Expect(e.Object.Data).To(HaveKeyWithValue("v", "1"))
		}
	}, SpecTimeout(specTimeout))

	It("delivers a deletion when a lease expires", func(ctx SpecContext) {
		s := newStore()
		create(ctx, s, configMap("a", "v", "1"))
		r, maps := newReplica(s)
		a := audited(maps)
		startSynced(ctx, r)
		k := s.Prefix() + "core/configmaps/default/a"
		got, err := s.Client().Get(ctx, k)
		Expect(err).NotTo(HaveOccurred())
		lease, err := s.Client().Grant(ctx, 600)
		Expect(err).NotTo(HaveOccurred())
		_, err = s.Client().Put(ctx, k, string(got.Kvs[0].Value), clientv3.WithLease(lease.ID))
		Expect(err).NotTo(HaveOccurred())
		_, err = s.Client().Revoke(ctx, lease.ID)
		Expect(err).NotTo(HaveOccurred())
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1", "MODIFIED a 1", "DELETED a 1"}))
	}, SpecTimeout(specTimeout))

	It("does not change old snapshots", func(ctx SpecContext) {
		s := newStore()
		a := configMap("a", "v", "1")
		create(ctx, s, a)
		r, maps := newReplica(s)
		byValue := maps.AddIndex(func(cm *corev1.ConfigMap) []string { return []string{cm.Data["v"]} })
		startSynced(ctx, r)
		old := r.Snapshot()
		setValue(ctx, s, a, "2")
		var rev int64
		for i := range 300 {
			rev = create(ctx, s, configMap(fmt.Sprint("b-", i), "v", "1"))
		}
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		later := maps.AddIndex(func(cm *corev1.ConfigMap) []string { return []string{cm.Name} })

		Expect(maps.Len(old)).To(Equal(1))
		cm, ok := maps.Get(old, key("a"))
		Expect(ok).To(BeTrue())
		Expect(cm.Data).To(HaveKeyWithValue("v", "1"))
		Expect(slices.Collect(byValue.Lookup(old, "1"))).To(Equal([]*corev1.ConfigMap{cm}))
		Expect(slices.Collect(later.Lookup(old, "a"))).To(Equal([]*corev1.ConfigMap{cm}))
		Expect(slices.Collect(later.Values(old))).To(Equal([]string{"a"}))
		Expect(slices.Collect(byValue.Values(r.Snapshot()))).To(Equal([]string{"1", "2"}))
		Expect(slices.Collect(later.Values(r.Snapshot()))).To(HaveLen(301))
		Expect(r.Snapshot().Revision()).To(BeNumerically(">", old.Revision()))
	}, SpecTimeout(specTimeout))

	It("lists by namespace and by labels, in the order of keys", func(ctx SpecContext) {
		s := newStore()
		r, maps := newReplica(s)
		for _, k := range []store.Key{{Namespace: "b", Name: "x"}, {Namespace: "a", Name: "y"}, {Namespace: "a-b", Name: "z"}, {Namespace: "a", Name: "x"}} {
			create(ctx, s, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
				Namespace: k.Namespace, Name: k.Name, Labels: map[string]string{"name": k.Name}}})
		}
		startSynced(ctx, r)
		list := func(o informer.ListOptions) (keys []string) {
			for cm := range maps.List(r.Snapshot(), o) {
				Expect(o.Selects(cm)).To(BeTrue())
				keys = append(keys, store.KeyOf(cm).String())
			}
			return keys
		}
		x := labels.SelectorFromSet(labels.Set{"name": "x"})
		Expect(list(informer.ListOptions{})).To(Equal([]string{"a-b/z", "a/x", "a/y", "b/x"}))
		Expect(list(informer.ListOptions{Namespace: "a"})).To(Equal([]string{"a/x", "a/y"}))
		Expect(list(informer.ListOptions{Selector: x})).To(Equal([]string{"a/x", "b/x"}))
		Expect(list(informer.ListOptions{Namespace: "b", Selector: x})).To(Equal([]string{"b/x"}))
	}, SpecTimeout(specTimeout))

	It("can be one of several in a process, each with kinds of its own", func(ctx SpecContext) {
		s := newStore()
		one, maps := newReplica(s)
		other := newBareReplica(s)
		deployments := informerFor[*appsv1.Deployment](other)
		again, sameMaps := newReplica(s)
		stopOne := startSynced(ctx, one)
		startSynced(ctx, other)
		startSynced(ctx, again)
		stopOne()
		create(ctx, s, deployment("d"))
		rev := create(ctx, s, configMap("a", "v", "1"))
		Expect(other.WaitForRevision(ctx, rev)).To(Succeed())
		Expect(again.WaitForRevision(ctx, rev)).To(Succeed())
		Expect(deployments.Len(other.Snapshot())).To(Equal(1))
		Expect(sameMaps.Len(again.Snapshot())).To(Equal(1))
		Expect(maps.Len(one.Snapshot())).To(BeZero())
		Expect(one.Store()).To(BeIdenticalTo(s))
		Expect(func() { maps.Len(other.Snapshot()) }).To(PanicWith(ContainSubstring("another replica")))
	}, SpecTimeout(specTimeout))

	It("serves as a store's cache", func(ctx SpecContext) {
		s := newStore()
		a := configMap("a", "v", "1")
		create(ctx, s, a)
		r, _ := newReplica(s)
		cachedKey := s.Prefix() + "core/configmaps/default/a"
		_, ok := r.Cached(cachedKey)
		Expect(ok).To(BeFalse())
		startSynced(ctx, r)
		obj, ok := r.Cached(cachedKey)
		Expect(ok).To(BeTrue())
		Expect(obj.GetResourceVersion()).To(Equal(a.ResourceVersion))
		for _, other := range []string{cachedKey + "x", s.Prefix() + "core/configmaps", s.Prefix() + "core/pods/default/a", ""} {
			_, ok := r.Cached(other)
			Expect(ok).To(BeFalse(), other)
		}
		Expect(r.Covers(cachedKey + "x")).To(BeTrue())
		Expect(r.Covers(s.Prefix() + "core/pods/default/a")).To(BeFalse())
	}, SpecTimeout(specTimeout))

	It("reports what it has, and events of keys that belong to none of its kinds", func(ctx SpecContext) {
		s := newStore()
		r, maps := newReplica(s)
		sites, err := informer.ForObject(r, &site{})
		Expect(err).NotTo(HaveOccurred())
		release := make(chan struct{})
		maps.AddHandler(func(ctx context.Context, _ informer.Event[*corev1.ConfigMap]) {
			select {
			case <-release:
			case <-ctx.Done():
			}
		})
		startSynced(ctx, r)
		create(ctx, s, configMap("a", "v", "1"))
		create(ctx, s, configMap("b", "v", "1"))
		create(ctx, s, newSite("s", "north"))
		rev := create(ctx, s, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "foreign"}})
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Eventually(func() []int { return r.Status().Kinds[0].Backlogs }).Should(Equal([]int{1}))
		st := r.Status()
		Expect(st.Revision).To(BeNumerically(">=", rev))
		Expect(st.Foreign).To(BeEquivalentTo(1))
		Expect(st.Kinds).To(HaveLen(2))
		Expect(st.Kinds[0].Kind).To(Equal("ConfigMap"))
		Expect(st.Kinds[0].Objects).To(Equal(2))
		Expect(st.Kinds[1].Prefix).To(Equal(s.Prefix() + "example.com/sites/"))
		Expect(st.Kinds[1].Objects).To(Equal(1))
		Expect(sites.Len(r.Snapshot())).To(Equal(1))
		Expect(st.Kinds[0].Bytes).To(Equal(bytesInEtcd(ctx, s, "core/configmaps/")))
		close(release)
		Eventually(func() []int { return r.Status().Kinds[0].Backlogs }).Should(Equal([]int{0}))

		_, err = s.Client().Delete(ctx, s.Prefix()+"core/configmaps/default/a")
		Expect(err).NotTo(HaveOccurred())
		_, err = r.FreshSnapshot(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(r.Status().Kinds[0].Bytes).To(Equal(bytesInEtcd(ctx, s, "core/configmaps/")))
	}, SpecTimeout(specTimeout))

	It("refuses a kind that its store does not know", func() {
		r := informer.NewReplica(newStore(), informer.Options{})
		type unknown = store.Resource[siteStatus, siteSpec]
		_, err := informer.For[*unknown](r)
		Expect(err).To(MatchError(ContainSubstring("not known to this store")))
		_, err = informer.ForObject(r, &unknown{})
		Expect(err).To(MatchError(ContainSubstring("not known to this store")))
		Expect(r.WaitForSync(GinkgoT().Context())).To(Succeed(), "no kind was registered")
	})
})

// expectWhole expects all objects to come from the same transaction.
func expectWhole(maps *informer.Informer[*corev1.ConfigMap], sites *informer.Informer[*site], s *informer.Snapshot) {
	GinkgoHelper()
	seen := map[string]int{}
	for cm := range maps.List(s, informer.ListOptions{}) {
		seen[cm.Data["v"]]++
	}
	for site := range sites.List(s, informer.ListOptions{}) {
		seen[site.Spec.Region]++
	}
	if len(seen) != 1 {
		Fail(fmt.Sprintf("snapshot %d: objects by transaction: %v", s.Revision(), seen))
	}
}
