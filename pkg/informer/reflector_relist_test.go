package informer_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// meddlingKV calls a function between the reads of keys and of values, or before
// some transaction.
type meddlingKV struct {
	clientv3.KV
	keysRead atomic.Bool
	until    atomic.Int64 // how many transactions are left until then; 0: until keys are read
	meddle   func()
}

func (m *meddlingKV) meddleAtTxn(n int64) { m.until.Store(n) }

func (m *meddlingKV) GetStream(ctx context.Context, key string, opts ...clientv3.OpOption) (clientv3.GetStreamChan, error) {
	op := clientv3.OpGet(key, opts...)
	if op.IsKeysOnly() {
		m.keysRead.Store(true)
	}
	return m.KV.GetStream(ctx, key, opts...)
}

func (m *meddlingKV) Txn(ctx context.Context) clientv3.Txn {
	if (m.keysRead.Swap(false) || m.until.Add(-1) == 0) && m.meddle != nil {
		m.meddle()
		m.meddle = nil
	}
	return m.KV.Txn(ctx)
}

var _ = Describe("A relist of a known kind", func() {
	const objects = 600
	value := strings.Repeat("x", 1000)
	name := func(i int) string { return fmt.Sprintf("cm-%04d", i) }

	// many makes many objects and a replica of them, which is cut off then.
	var (
		direct *store.Store
		kv     *meddlingKV
		r      *informer.Replica
		maps   *informer.Informer[*corev1.ConfigMap]
		a      *audit[*corev1.ConfigMap]
		before informer.Status
		heal   func()
	)
	BeforeEach(func(ctx SpecContext) {
		link, behind, d := linked(etcd)
		direct = d
		for i := 0; i < objects; {
			t := direct.Txn()
			for range 100 {
				t.Create(configMap(name(i), "v", value))
				i++
			}
			Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
		}
		kv = &meddlingKV{KV: behind.Client().KV}
		behind.Client().KV = kv
		r, maps = newReplica(behind)
		a = audited(maps)
		startSynced(ctx, r)
		Eventually(func() int { return len(a.all()) }).Should(Equal(objects))
		cutOff(ctx, link, r)
		before = r.Status()
		heal = link.Heal
	}, NodeTimeout(specTimeout))

	change := func(ctx context.Context, i int) int64 {
		GinkgoHelper()
		cm, err := store.Get[*corev1.ConfigMap](ctx, direct, key(name(i)))
		Expect(err).NotTo(HaveOccurred())
		return setValue(ctx, direct, cm, "changed")
	}
	expectWhole := func(ctx context.Context) {
		GinkgoHelper()
		fresh, err := r.FreshSnapshot(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(inSnapshot(maps, fresh)).To(Equal(inEtcd(ctx, direct, "core/configmaps")))
		Eventually(a.received).Should(Equal(inEtcd(ctx, direct, "core/configmaps")))
	}

	It("reads the keys, and only the values that have changed", func(ctx SpecContext) {
		for i := 100; i < 110; i++ {
			change(ctx, i)
		}
		remove(ctx, direct, configMap(name(300)))
		create(ctx, direct, configMap("new", "v", "1"))
		compact(ctx, etcd.Client())
		heal()
		expectWhole(ctx)
		Expect(a.all()).To(HaveLen(objects + 12))
		st := r.Status()
		Expect(st.Relists).To(HaveKey("compacted"))
		Expect(st.ListsOfChanges).To(BeEquivalentTo(1))
		Expect(st.ListsInFull).To(Equal(before.ListsInFull))
		keys := int64(objects * (len(direct.Prefix()) + len("core/configmaps/default/cm-0000")))
		Expect(st.ListBytes - before.ListBytes).To(BeNumerically("<", keys+12*1500))
		Expect(st.Kinds[0].Bytes).To(Equal(bytesInEtcd(ctx, direct, "core/configmaps")))
	}, SpecTimeout(specTimeout))

	It("reads all values if much has changed", func(ctx SpecContext) {
		for i := 0; i < objects; i += 2 {
			change(ctx, i)
		}
		remove(ctx, direct, configMap(name(501)))
		compact(ctx, etcd.Client())
		heal()
		expectWhole(ctx)
		Expect(a.all()).To(HaveLen(objects + objects/2 + 1))
		st := r.Status()
		Expect(st.ListBytes - before.ListBytes).To(BeNumerically("<", bytesInEtcd(ctx, direct, "core/configmaps")*5/4))
		Expect(st.Kinds[0].Bytes).To(Equal(bytesInEtcd(ctx, direct, "core/configmaps")))
	}, SpecTimeout(specTimeout))

	It("starts again if etcd is compacted meanwhile", func(ctx SpecContext) {
		for i := 100; i < 110; i++ {
			change(ctx, i)
		}
		compact(ctx, etcd.Client())
		kv.meddle = func() {
			defer GinkgoRecover()
			change(ctx, 200)
			compact(ctx, etcd.Client())
		}
		heal()
		expectWhole(ctx)
		Expect(kv.meddle).To(BeNil())
		Expect(a.all()).To(HaveLen(objects + 11))
	}, SpecTimeout(specTimeout))

	It("reads all values if etcd's data may have been replaced", func(ctx SpecContext) {
		change(ctx, 100)
		Expect(direct.Client().Delete(ctx, direct.Prefix()+".epoch")).Error().NotTo(HaveOccurred())
		compact(ctx, etcd.Client())
		heal()
		expectWhole(ctx)
		st := r.Status()
		Expect(st.ListsInFull).To(Equal(before.ListsInFull + 1))
		Expect(st.Relists).To(HaveKey("data replaced"))
		Expect(a.all()).To(HaveLen(objects + 1))
	}, SpecTimeout(specTimeout))
})
