package controller_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// docs/operations.md says which keys a program uses. This is its table, put to work: etcd
// refuses everything else.
var _ = It("The etcd user of a manager needs permission only for the documented keys", func(ctx SpecContext) {
	cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
	root := cluster.Client()
	steps := []error{
		errorOf(root.UserAdd(ctx, "root", "root")), errorOf(root.UserGrantRole(ctx, "root", "root")),
		errorOf(root.UserAdd(ctx, "sites", "secret")), errorOf(root.RoleAdd(ctx, "sites")), errorOf(root.UserGrantRole(ctx, "sites", "sites")),
	}
	const read, readWrite = clientv3.PermissionType(clientv3.PermRead), clientv3.PermissionType(clientv3.PermReadWrite)
	allow := func(what clientv3.PermissionType, key, end string) {
		steps = append(steps, errorOf(root.RoleGrantPermission(ctx, "sites", key, end, what)))
	}
	grant := func(key, end string) { allow(readWrite, key, end) }
	prefix := func(p string) { grant(p, clientv3.GetPrefixRangeEnd(p)) }
	allow(read, "/registry/apps/deployments/", clientv3.GetPrefixRangeEnd("/registry/example.com/sites/"))
	prefix("/registry/example.com/sites/")
	prefix("/registry/apps/deployments/")
	grant("/registry/.epoch", "")
	grant("/homeostat/leadership/registry/sites", "")
	prefix("/homeostat/sharding/registry/sites/")
	steps = append(steps, errorOf(root.AuthEnable(ctx)))
	for _, err := range steps {
		Expect(err).NotTo(HaveOccurred())
	}
	client, err := cluster.NewClient(etcdtest.ClientOptions{Configure: func(c *clientv3.Config) { c.Username, c.Password = "sites", "secret" }})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(client.Close)
	s, err := store.New(client, store.Options{Scheme: scheme.Scheme, Kinds: []store.AnyKind{siteKind}})
	Expect(err).NotTo(HaveOccurred())

	for name, o := range map[string]controller.ManagerOptions{
		"alone":    {},
		"leader":   {Leadership: &controller.Leadership{Name: "sites", LeaseTime: patient}},
		"sharding": {Sharding: &controller.Sharding{Name: "sites", Buckets: 8, LeaseTime: patient}},
	} {
		By(name)
		var log logbook
		o.Log = log.logger()
		m := newManagerOn(s, o)
		Expect(controller.New(m, "sites", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			_, err := controller.Apply(tx, site, newDeployment(site.Name))
			return controller.Result{}, err
		}, controller.Options{}, controller.Owns[*appsv1.Deployment]())).Error().To(Succeed())
		stop := run(m)
		create(ctx, s, newSite(name, 1))
		Eventually(func() error {
			_, err := store.Get[*appsv1.Deployment](ctx, s, store.Key{Namespace: "default", Name: name})
			return err
		}).Should(Succeed())
		Eventually(func() error { return m.Ready(ctx) }).Should(Succeed())
		stop()
		Expect(log.with("permission")).To(BeEmpty())
	}
	Expect(client.Put(ctx, "/registry/core/secrets/default/a", "x")).Error().To(MatchError(ContainSubstring("permission denied")))
	Expect(client.Get(ctx, "/registry/rbac.authorization.k8s.io/", clientv3.WithPrefix())).Error().To(MatchError(ContainSubstring("permission denied")))
}, SpecTimeout(2*time.Minute))
