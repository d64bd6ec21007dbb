package informer_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A replica of an etcd user", func() {
	var (
		a      *authEtcd
		direct *store.Store // may do everything
		cm     *corev1.ConfigMap
	)
	BeforeEach(func(ctx SpecContext) {
		a = startAuthEtcd(ctx)
		direct = storeAt(a.root, "/spec/")
		cm = configMap("a", "v", "1")
		create(ctx, direct, cm)
	}, NodeTimeout(specTimeout))

	// replica returns one that runs as alice, who may read ConfigMaps alone.
	replica := func(ctx context.Context, change ...func(*clientv3.Config)) (*informer.Replica, *informer.Informer[*corev1.ConfigMap], *audit[*corev1.ConfigMap]) {
		GinkgoHelper()
		client, err := a.cluster.NewClient(etcdtest.ClientOptions{Configure: func(cfg *clientv3.Config) {
			for _, f := range change {
				f(cfg)
			}
		}})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(client.Close)
		r, maps := newReplica(storeAt(client, "/spec/"))
		informer.Await(r, 5*time.Second) // what is slow is not to be taken for what is refused
		received := audited(maps)
		startSynced(ctx, r)
		Eventually(received.lines).Should(Equal([]string{"ADDED a 1"}))
		Expect(r.WaitForRevision(ctx, put(ctx, a.root, "/elsewhere", ""))).To(Succeed()) // there is a watch
		return r, maps, received
	}

	It("needs only permission to read its kinds", func(ctx SpecContext) {
		r, maps, _ := replica(ctx, a.alice)
		rev := setValue(ctx, direct, cm, "2")
		Expect(r.WaitForRevision(ctx, rev)).To(Succeed())
		fresh, err := r.FreshSnapshot(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(fresh.Revision()).To(BeNumerically(">=", rev))
		Expect(valueOf(maps, "a")()).To(Equal("2"))
		Expect(r.Status().Failures).To(BeZero())
	}, SpecTimeout(specTimeout))

	It("names the permission that it has lost, and continues where it was once it has it again", func(ctx SpecContext) {
		r, maps, received := replica(ctx, a.alice)
		a.revoke(ctx)
		Eventually(replicaErr(r)).Should(MatchError(rpctypes.ErrPermissionDenied))
		Eventually(func() error { return r.Healthy(0) }).Should(MatchError(And(
			ContainSubstring("last known to be up to date"), ContainSubstring("the etcd user may not do this"))))
		// Also the watch is refused, and says why.
		Eventually(replicaErr(r)).Should(MatchError(And(ContainSubstring("watch /spec/core/configmaps/"), ContainSubstring("the etcd user may not do this"))))
		setValue(ctx, direct, cm, "2")
		remove(ctx, direct, cm)
		create(ctx, direct, configMap("b", "v", "1"))
		Expect(valueOf(maps, "b")()).To(Equal("(none)"))

		a.grant(ctx)
		Expect(r.WaitForRevision(ctx, create(ctx, direct, configMap("c", "v", "1")))).To(Succeed())
		Eventually(received.lines).Should(Equal([]string{"ADDED a 1", "MODIFIED a 2", "DELETED a 2", "ADDED b 1", "ADDED c 1"}))
		Eventually(replicaErr(r)).ShouldNot(HaveOccurred())
		Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1}))
		Expect(r.Status().LastErr).To(MatchError(rpctypes.ErrPermissionDenied))
		Eventually(func() error { return r.Healthy(specTimeout) }).Should(Succeed())
	}, SpecTimeout(specTimeout))

	It("gets another token when its own is invalid", func(ctx SpecContext) {
		link, err := a.cluster.Member(0).NewLink()
		Expect(err).NotTo(HaveOccurred())
		r, _, received := replica(ctx, a.alice, func(cfg *clientv3.Config) { cfg.Endpoints = []string{link.Endpoint()} })
		a.voidTokens(ctx)
		link.Cut() // a stream that is open needs no token
		Eventually(replicaErr(r)).Should(HaveOccurred())
		link.Heal()
		Expect(r.WaitForRevision(ctx, setValue(ctx, direct, cm, "2"))).To(Succeed())
		Eventually(received.lines).Should(Equal([]string{"ADDED a 1", "MODIFIED a 2"}))
		Eventually(replicaErr(r)).ShouldNot(HaveOccurred())
		Expect(relists(r)()).To(Equal(map[string]int64{"initial": 1}))
	}, SpecTimeout(specTimeout))

	It("names a token that has expired, and cannot get another without a password", func(ctx SpecContext) {
		r, maps, _ := replica(ctx, a.aliceByToken(ctx))
		a.voidTokens(ctx)
		Eventually(replicaErr(r)).Should(MatchError(rpctypes.ErrInvalidAuthToken))
		Eventually(func() error { return r.Healthy(0) }).Should(MatchError(ContainSubstring("token has expired")))
		Expect(valueOf(maps, "a")()).To(Equal("1"))
	}, SpecTimeout(specTimeout))
})

// authEtcd is an etcd with two users: root, and alice, who may only read
// ConfigMaps below /spec/.
type authEtcd struct {
	cluster *etcdtest.Cluster
	root    *clientv3.Client
}

const (
	alicesKeys    = "/spec/core/configmaps/"
	alicesKeysEnd = "/spec/core/configmaps0"
)

func startAuthEtcd(ctx context.Context) *authEtcd {
	GinkgoHelper()
	a := &authEtcd{cluster: etcdtest.Start(GinkgoTB(), etcdtest.Options{})}
	c := a.cluster.Client()
	for _, err := range []error{
		second(c.UserAdd(ctx, "alice", "secret")),
		second(c.RoleAdd(ctx, "reader")),
		second(c.RoleGrantPermission(ctx, "reader", alicesKeys, alicesKeysEnd, clientv3.PermissionType(clientv3.PermRead))),
		second(c.UserGrantRole(ctx, "alice", "reader")),
	} {
		Expect(err).NotTo(HaveOccurred())
	}
	a.root = enableAuth(ctx, a.cluster)
	return a
}

func second[T any](_ T, err error) error { return err }

func (a *authEtcd) alice(c *clientv3.Config) { c.Username, c.Password = "alice", "secret" }

func (a *authEtcd) aliceByToken(ctx context.Context) func(*clientv3.Config) {
	GinkgoHelper()
	resp, err := a.root.Authenticate(ctx, "alice", "secret")
	Expect(err).NotTo(HaveOccurred())
	return func(c *clientv3.Config) { c.Token = resp.Token }
}

func (a *authEtcd) revoke(ctx context.Context) {
	GinkgoHelper()
	Expect(second(a.root.UserRevokeRole(ctx, "alice", "reader"))).To(Succeed())
}

func (a *authEtcd) grant(ctx context.Context) {
	GinkgoHelper()
	Expect(second(a.root.UserGrantRole(ctx, "alice", "reader"))).To(Succeed())
}

// voidTokens makes etcd forget alice's tokens, as if they had expired.
func (a *authEtcd) voidTokens(ctx context.Context) {
	GinkgoHelper()
	Expect(second(a.root.UserChangePassword(ctx, "alice", "secret"))).To(Succeed())
}
