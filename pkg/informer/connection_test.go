package informer_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
)

var _ = Describe("A replica whose connection is disturbed", func() {
	It("stays readable while cut off, and resumes where it was", func(ctx SpecContext) {
		link, behind, direct := linked(etcd)
		cm := configMap("a", "v", "1")
		create(ctx, direct, cm)
		var log logLines
		r, maps := newReplica(behind, log.logger())
		informer.Uncheck(r) // a connection that breaks is noticed without
		a := audited(maps)
		startSynced(ctx, r)
		Eventually(a.lines).Should(HaveLen(1))
		follows(ctx, r)

		link.Cut()
		Eventually(replicaErr(r)).Should(MatchError(ContainSubstring("the connection to etcd was lost")))
		Expect(r.Status().StaleSince).NotTo(BeZero())
		setValue(ctx, direct, cm, "2")
		remove(ctx, direct, cm)
		rev := create(ctx, direct, configMap("b", "v", "1"))
		Expect(valueOf(maps, "a")()).To(Equal("1"))

		link.Heal()
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1", "MODIFIED a 2", "DELETED a 2", "ADDED b 1"}))
		Eventually(replicaErr(r)).ShouldNot(HaveOccurred())
		Expect(r.Status().StaleSince).To(BeZero())
		Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1}))
		Expect(log.with("replica disturbed")()).To(HaveLen(1), "once per disturbance")
		Eventually(log.with("follows etcd again")).Should(HaveLen(1))
	}, SpecTimeout(specTimeout))

	It("notices a silent partition", func(ctx SpecContext) {
		link, behind, direct := linked(etcd)
		cm := configMap("a", "v", "1")
		create(ctx, direct, cm)
		r, maps := newReplica(behind)
		informer.Await(r, impatient)
		a := audited(maps)
		startSynced(ctx, r)

		link.Freeze()
		setValue(ctx, direct, cm, "2")
		Eventually(replicaErr(r)).Should(MatchError(ContainSubstring("no answer from etcd")))
		Expect(valueOf(maps, "a")()).To(Equal("1"))
		rev := setValue(ctx, direct, cm, "3")
		link.Heal()
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1", "MODIFIED a 2", "MODIFIED a 3"}))
		Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1}))
	}, SpecTimeout(specTimeout))

	It("leaves no streams behind, however often it fails to connect", func(ctx SpecContext) {
		link, behind, direct := linked(etcd)
		r, _ := newReplica(behind)
		informer.Await(r, 100*time.Millisecond)
		stop := startSynced(ctx, r)
		for _, fault := range []func(){link.Freeze, link.Cut} {
			fault()
			tries := r.Status().Watches
			Eventually(func() int64 { return r.Status().Watches }).Should(BeNumerically(">", tries+3))
			Eventually(watchStreams).Should(BeNumerically("<=", 2)) // those that end take a moment
		}
		link.Heal()
		Expect(r.WaitForRevision(ctx, create(ctx, direct, configMap("a")))).To(Succeed())
		Eventually(watchStreams).Should(Equal(1))
		stop()
		Eventually(watchStreams).Should(BeZero())
	}, SpecTimeout(specTimeout))

	It("also works with a wrapped client", func(ctx SpecContext) {
		link, behind, direct := linked(etcd)
		wrapped := behind.Client()
		wrapped.KV = namespace.NewKV(wrapped.KV, strings.TrimSuffix(direct.Prefix(), "/"))
		wrapped.Watcher = namespace.NewWatcher(wrapped.Watcher, strings.TrimSuffix(direct.Prefix(), "/"))
		inner := storeAt(wrapped, "/inner/")
		direct = storeAt(direct.Client(), direct.Prefix()+"inner/")
		r, maps := newReplica(inner)
		informer.Await(r, impatient)
		a := audited(maps)
		startSynced(ctx, r)
		cm := configMap("a", "v", "1")
		Expect(r.WaitForRevision(ctx, create(ctx, direct, cm))).To(Succeed())

		link.Cut() // which only the checks find out
		setValue(ctx, direct, cm, "2")
		Eventually(replicaErr(r)).Should(HaveOccurred())
		link.Heal()
		Expect(r.WaitForRevision(ctx, setValue(ctx, direct, cm, "3"))).To(Succeed())
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1", "MODIFIED a 2", "MODIFIED a 3"}))
		Eventually(func() int64 { return r.Status().Unapplied }).Should(BeZero())
	}, SpecTimeout(specTimeout))

	It("loses nothing if a progress notification of one watch is sent while others are created", func(ctx SpecContext) {
		link, behind, direct := linked(etcd)
		const replicas, rounds = 12, 2
		create(ctx, direct, configMap("a", "v", "0"))
		for range rounds {
			writing := make(chan struct{})
			var last int64
			go func() {
				defer GinkgoRecover()
				defer close(writing)
				for i := range 50 {
					last = create(ctx, direct, configMap(fmt.Sprintf("cm-%d-%d", GinkgoRandomSeed(), i), "v", "1"))
				}
				for i := range 50 {
					last = remove(ctx, direct, configMap(fmt.Sprintf("cm-%d-%d", GinkgoRandomSeed(), i)))
				}
			}()
			var stops []func()
			var all []*informer.Informer[*corev1.ConfigMap]
			var asking sync.WaitGroup
			for range replicas {
				r, maps := newReplica(behind)
				all = append(all, maps)
				stops = append(stops, start(r))
				asking.Go(func() {
					defer GinkgoRecover()
					Expect(r.WaitForSync(ctx)).To(Succeed())
					for range 5 { // each has the watch asked for progress
						resp, err := direct.Client().Put(ctx, "/elsewhere", "")
						Expect(err).NotTo(HaveOccurred())
						Expect(r.WaitForRevision(ctx, resp.Header.Revision)).To(Succeed())
					}
				})
			}
			link.Cut()
			link.Heal()
			asking.Wait()
			Eventually(ctx, writing).Should(BeClosed())
			for _, maps := range all {
				Expect(maps.Replica().WaitForRevision(ctx, last)).To(Succeed())
				Expect(inReplica(maps)()).To(Equal(inEtcd(ctx, direct, "core/configmaps")))
			}
			for _, stop := range stops {
				stop()
			}
		}
	}, SpecTimeout(specTimeout))
})

// watchStreams returns the number of watch streams of all clients.
func watchStreams() int {
	stacks := make([]byte, 8<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "(*watchGRPCStream).run(")
}

var _ = Describe("A replica whose etcd is disturbed", func() {
	It("notices that its member is cut off from the others, and catches up", func(ctx SpecContext) {
		cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{Members: 3})
		lonely, err := cluster.NewClient(etcdtest.ClientOptions{Endpoints: []string{cluster.Member(2).Endpoint()}})
		Expect(err).NotTo(HaveOccurred())
		others, err := cluster.NewClient(etcdtest.ClientOptions{Endpoints: []string{cluster.Member(0).Endpoint(), cluster.Member(1).Endpoint()}})
		Expect(err).NotTo(HaveOccurred())
		s, direct := storeAt(lonely, "/spec/"), storeAt(others, "/spec/")
		cm := configMap("a", "v", "1")
		create(ctx, direct, cm)
		r, maps := newReplica(s)
		a := audited(maps)
		startSynced(ctx, r)

		cluster.Isolate(2)
		_, err = cluster.Leader(ctx)
		Expect(err).NotTo(HaveOccurred())
		Eventually(replicaErr(r)).Should(HaveOccurred())
		rev := setValue(ctx, direct, cm, "2")
		Expect(valueOf(maps, "a")()).To(Equal("1"))
		cluster.Heal()
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1", "MODIFIED a 2"}))
		Eventually(replicaErr(r)).ShouldNot(HaveOccurred())
		Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1}))
	}, SpecTimeout(specTimeout))

	It("survives a restart of its member", func(ctx SpecContext) {
		cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
		s := newStoreOn(cluster.Client())
		cm := configMap("a", "v", "1")
		create(ctx, s, cm)
		r, maps := newReplica(s)
		a := audited(maps)
		startSynced(ctx, r)
		follows(ctx, r)

		Expect(cluster.Member(0).Stop()).To(Succeed())
		Eventually(replicaErr(r)).Should(HaveOccurred())
		Expect(valueOf(maps, "a")()).To(Equal("1"))
		Expect(cluster.Member(0).Restart(ctx)).To(Succeed())
		Expect(r.WaitForRevision(ctx, setValue(ctx, s, cm, "2"))).To(Succeed())
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1", "MODIFIED a 2"}))
		Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1}))
	}, SpecTimeout(specTimeout))

	It("names a lost permission, and resumes once it has it again", func(ctx SpecContext) {
		cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
		link, behind, direct := linked(cluster)
		cm := configMap("a", "v", "1")
		create(ctx, direct, cm)
		r, maps := newReplica(behind)
		a := audited(maps)
		startSynced(ctx, r)
		Eventually(a.lines).Should(HaveLen(1))

		root := enableAuth(ctx, cluster) // from here on, everybody else may do nothing
		link.Cut()
		Eventually(replicaErr(r)).Should(HaveOccurred())
		link.Heal()
		Eventually(replicaErr(r)).Should(MatchError(ContainSubstring("user name is empty")))
		setValue(ctx, storeAt(root, direct.Prefix()), cm, "2")
		Expect(valueOf(maps, "a")()).To(Equal("1"))
		_, err := root.AuthDisable(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(r.WaitForRevision(ctx, setValue(ctx, direct, cm, "3"))).To(Succeed())
		Eventually(a.lines).Should(Equal([]string{"ADDED a 1", "MODIFIED a 2", "MODIFIED a 3"}))
		Eventually(replicaErr(r)).ShouldNot(HaveOccurred())
	}, SpecTimeout(specTimeout))
})

// enableAuth makes etcd refuse all users but root.
func enableAuth(ctx context.Context, cluster *etcdtest.Cluster) (root *clientv3.Client) {
	GinkgoHelper()
	check := func(_ any, err error) {
		GinkgoHelper()
		Expect(err).NotTo(HaveOccurred())
	}
	c := cluster.Client()
	check(c.UserAdd(ctx, "root", "secret"))
	check(c.RoleAdd(ctx, "root"))
	check(c.UserGrantRole(ctx, "root", "root"))
	check(c.AuthEnable(ctx))
	// A password is slow to check: with the token, it is once.
	auth, err := c.Authenticate(ctx, "root", "secret")
	Expect(err).NotTo(HaveOccurred())
	root, err = cluster.NewClient(etcdtest.ClientOptions{Configure: func(c *clientv3.Config) { c.Token = auth.Token }})
	Expect(err).NotTo(HaveOccurred())
	return root
}
