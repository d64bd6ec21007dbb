package informer_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("The epoch key", func() {
	epochOf := func(ctx context.Context, s *store.Store) string {
		GinkgoHelper()
		resp, err := s.Client().Get(ctx, s.Prefix()+".epoch")
		Expect(err).NotTo(HaveOccurred())
		if len(resp.Kvs) == 0 {
			return ""
		}
		return string(resp.Kvs[0].Value)
	}

	It("is created once, by the first replica", func(ctx SpecContext) {
		s := newStore()
		var replicas []*informer.Replica
		for range 5 {
			r, _ := newReplica(s)
			replicas = append(replicas, r)
			start(r)
		}
		for _, r := range replicas {
			Expect(r.WaitForSync(ctx)).To(Succeed())
		}
		resp, err := s.Client().Get(ctx, s.Prefix()+".epoch")
		Expect(err).NotTo(HaveOccurred())
		Expect(resp.Kvs[0].Version).To(BeEquivalentTo(1))
		Expect(resp.Kvs[0].Value).NotTo(BeEmpty())
	}, SpecTimeout(specTimeout))

	DescribeTable("makes replicas read everything again when it", func(ctx SpecContext, disturb func(context.Context, *store.Store)) {
		s := newStore()
		create(ctx, s, configMap("a", "v", "1"))
		var log logLines
		r, maps := newReplica(s, log.logger())
		a := audited(maps)
		startSynced(ctx, r)
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1"}))
		before := epochOf(ctx, s)
		disturb(ctx, s)
		Eventually(relists(r)).Should(Equal(map[string]int64{"initial": 1, "data replaced": 1}))
		Eventually(func() string { return epochOf(ctx, s) }).ShouldNot(Or(BeEmpty(), Equal(before)))
		Expect(r.WaitForRevision(ctx, create(ctx, s, configMap("b", "v", "1")))).To(Succeed())
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1", "ADDED b 1"}), "nothing else had changed")
		Expect(log.with("etcd was wiped or restored; listed")()).To(HaveLen(1))
		Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1, "data replaced": 1}))
	},
		Entry("is deleted", func(ctx context.Context, s *store.Store) {
			_, err := s.Client().Delete(ctx, s.Prefix()+".epoch")
			Expect(err).NotTo(HaveOccurred())
		}, SpecTimeout(specTimeout)),
		Entry("changes", func(ctx context.Context, s *store.Store) {
			put(ctx, s.Client(), s.Prefix()+".epoch", "another")
		}, SpecTimeout(specTimeout)),
	)

	It("is agreed on again by all replicas after its deletion, while changes arrive", func(ctx SpecContext) {
		const replicas, objects = 5, 20
		s := newStore()
		for i := range objects {
			create(ctx, s, configMap(fmt.Sprintf("cm-%d", i), "v", "0"))
		}
		var all []*informer.Replica
		var received []*audit[*corev1.ConfigMap]
		for range replicas {
			client, err := etcd.NewClient(etcdtest.ClientOptions{}) // as processes of their own have
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(client.Close)
			r, maps := newReplica(storeAt(client, s.Prefix()))
			all, received = append(all, r), append(received, audited(maps))
			startSynced(ctx, r)
		}
		before := epochOf(ctx, s)
		changed := make(chan int64)
		go func() {
			defer GinkgoRecover()
			for i := range objects - 1 {
				setValue(ctx, s, must(store.Get[*corev1.ConfigMap](ctx, s, key(fmt.Sprintf("cm-%d", i)))), "1")
			}
			changed <- remove(ctx, s, configMap(fmt.Sprintf("cm-%d", objects-1)))
		}()
		_, err := s.Client().Delete(ctx, s.Prefix()+".epoch")
		Expect(err).NotTo(HaveOccurred())

		once := map[string]int64{"initial": 1, "data replaced": 1}
		for _, r := range all {
			Eventually(relists(r)).Should(Equal(once))
		}
		after := epochOf(ctx, s)
		Expect(after).NotTo(Or(BeEmpty(), Equal(before)))
		last, listed := <-changed, time.Now()
		for i, r := range all {
			Eventually(func() time.Time { return r.Status().CurrentAt }).Should(BeTemporally(">", listed), "it has looked again")
			Expect(r.WaitForRevision(ctx, last)).To(Succeed())
			Expect(relists(r)()).To(Equal(once))
			Eventually(received[i].received).Should(Equal(inEtcd(ctx, s, "core/configmaps")))
			Expect(received[i].lines()).To(HaveLen(2*objects), "each change once")
		}
		Expect(epochOf(ctx, s)).To(Equal(after))
	}, SpecTimeout(specTimeout))

	DescribeTable("is not needed if the user may not", func(ctx SpecContext, write bool, kinds string) {
		cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
		admin := newStoreOn(cluster.Client())
		create(ctx, admin, configMap("a", "v", "1"))
		kindPrefix := admin.Prefix() + kinds
		s := storeAt(restricted(ctx, cluster, kindPrefix, write), admin.Prefix())
		var log logLines
		r, maps := newReplica(s, log.logger())
		informer.Await(r, specTimeout) // to hash a password may take seconds
		a := audited(maps)
		startSynced(ctx, r)
		Eventually(a.lines).Should(HaveLen(1))
		Expect(epochOf(ctx, storeAt(asRoot(cluster), admin.Prefix()))).To(BeEmpty())
		Expect(r.WaitForRevision(ctx, create(ctx, storeAt(asRoot(cluster), admin.Prefix()), configMap("b", "v", "1")))).To(Succeed())
		Expect(log.with("")()).To(BeEmpty())
		Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1}))
	},
		Entry("write it", false, "", SpecTimeout(specTimeout)),
		Entry("read it", true, "core/", SpecTimeout(specTimeout)),
	)
})

var users sync.Map // *etcdtest.Cluster -> the root's client

// restricted returns a client that may read, or also write, keys with a prefix.
func restricted(ctx context.Context, c *etcdtest.Cluster, prefix string, write bool) *clientv3.Client {
	GinkgoHelper()
	auth := c.Client()
	access := clientv3.PermissionType(clientv3.PermRead)
	if write {
		access = clientv3.PermissionType(clientv3.PermReadWrite)
	}
	steps := []func() error{
		func() error { _, err := auth.UserAdd(ctx, "root", "pw"); return err },
		func() error { _, err := auth.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := auth.RoleAdd(ctx, "limited"); return err },
		func() error {
			_, err := auth.RoleGrantPermission(ctx, "limited", prefix, clientv3.GetPrefixRangeEnd(prefix), access)
			return err
		},
		func() error { _, err := auth.UserAdd(ctx, "user", "pw"); return err },
		func() error { _, err := auth.UserGrantRole(ctx, "user", "limited"); return err },
	}
	for i, step := range steps {
		Expect(step()).To(Succeed(), fmt.Sprint("step ", i))
	}
	login := func(name string) *clientv3.Client {
		client, err := c.NewClient(etcdtest.ClientOptions{Configure: func(cfg *clientv3.Config) {
			cfg.Username, cfg.Password = name, "pw"
			cfg.DialTimeout = specTimeout // to hash a password may take seconds
		}})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(client.Close)
		return client
	}
	_, err := auth.AuthEnable(ctx)
	Expect(err).NotTo(HaveOccurred())
	users.Store(c, login("root"))
	return login("user")
}

func asRoot(c *etcdtest.Cluster) *clientv3.Client {
	root, _ := users.Load(c)
	return root.(*clientv3.Client)
}
