package controller_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// writer is a runnable that writes when told to.
type writer struct {
	store *store.Store
	wants chan struct{}
	errs  chan error
	count atomic.Int32
}

func addWriter(m *controller.Manager) *writer {
	GinkgoHelper()
	w := &writer{store: m.Store(), wants: make(chan struct{}), errs: make(chan error)}
	Expect(m.Add("writer", w.run, controller.RunnableOptions{})).To(Succeed())
	return w
}

func (w *writer) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wants:
			_, err := w.store.Create(ctx, newConfigMap(fmt.Sprint("a", w.count.Add(1))))
			w.errs <- err
		}
	}
}

// write writes once.
func (w *writer) write() error {
	w.wants <- struct{}{}
	return <-w.errs
}

var _ = Describe("A manager whose writes etcd refuses", func() {
	var cluster *etcdtest.Cluster
	BeforeEach(func() { cluster = etcdtest.Start(GinkgoTB(), etcdtest.Options{}) })

	It("is not ready while etcd has an alarm, but healthy", func(ctx SpecContext) {
		m := newManagerOn(newStore(cluster.Client()), controller.ManagerOptions{})
		w := addWriter(m)
		run(m)
		Expect(w.write()).To(Succeed())
		Eventually(func() error { return m.Ready(ctx) }).Should(Succeed())
		Eventually(metric(m, "homeostat_etcd_member_up")).Should(Equal(1.0))
		Expect(metric(m, "homeostat_etcd_quota_used_ratio")()).To(And(BeNumerically(">", 0), BeNumerically("<", 0.1)))
		Expect(metric(m, "homeostat_etcd_alarms")()).To(BeZero())

		st, err := cluster.Client().Status(ctx, cluster.Endpoints()[0])
		Expect(err).NotTo(HaveOccurred())
		_, err = pb.NewMaintenanceClient(cluster.Client().ActiveConnection()).Alarm(ctx,
			&pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: st.Header.MemberId, Alarm: pb.AlarmType_NOSPACE})
		Expect(err).NotTo(HaveOccurred())
		Expect(w.write()).To(MatchError(rpctypes.ErrNoSpace))
		Expect(m.Ready(ctx)).To(And(MatchError(ContainSubstring("etcd: etcd has refused all writes since ")), MatchError(rpctypes.ErrNoSpace)))
		Expect(metric(m, "homeostat_etcd_writes_refused")()).To(Equal(1.0))
		Eventually(metric(m, "homeostat_etcd_alarms", "NOSPACE")).Should(Equal(1.0))
		Expect(metric(m, "homeostat_etcd_alarms", "CORRUPT")()).To(BeZero())
		status, body := page(m, "/readyz")
		Expect(status).To(Equal(http.StatusServiceUnavailable))
		Expect(body).To(And(ContainSubstring("[+]replica main ok\n"), ContainSubstring("[-]etcd failed: etcd has raised the alarm NOSPACE: ")))
		Expect(m.Healthy(ctx)).To(Succeed())

		Expect(cluster.Client().AlarmDisarm(ctx, &clientv3.AlarmMember{})).Error().NotTo(HaveOccurred())
		Expect(w.write()).To(Succeed())
		Eventually(func() error { return m.Ready(ctx) }).Should(Succeed())
		Expect(metric(m, "homeostat_etcd_alarms")()).To(BeZero())
		Expect(metric(m, "homeostat_etcd_writes_refused")()).To(BeZero())
	}, SpecTimeout(time.Minute))

	It("is not ready while its user may not write", func(ctx SpecContext) {
		root := cluster.Client()
		for _, err := range []error{
			errorOf(root.UserAdd(ctx, "root", "root")), errorOf(root.UserGrantRole(ctx, "root", "root")),
			errorOf(root.UserAdd(ctx, "alice", "secret")), errorOf(root.RoleAdd(ctx, "reader")), errorOf(root.RoleAdd(ctx, "writer")),
			errorOf(root.RoleGrantPermission(ctx, "reader", "\x00", "\x00", clientv3.PermissionType(clientv3.PermRead))),
			errorOf(root.RoleGrantPermission(ctx, "writer", "\x00", "\x00", clientv3.PermissionType(clientv3.PermReadWrite))),
			errorOf(root.UserGrantRole(ctx, "alice", "reader")), errorOf(root.UserGrantRole(ctx, "alice", "writer")),
			errorOf(root.AuthEnable(ctx)),
		} {
			Expect(err).NotTo(HaveOccurred())
		}
		as := func(name, password string) *clientv3.Client {
			client, err := cluster.NewClient(etcdtest.ClientOptions{Configure: func(c *clientv3.Config) { c.Username, c.Password = name, password }})
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(client.Close)
			return client
		}
		root = as("root", "root")
		m := newManagerOn(newStore(as("alice", "secret")), controller.ManagerOptions{})
		w := addWriter(m)
		run(m)
		Expect(w.write()).To(Succeed())
		Eventually(metric(m, "homeostat_etcd_member_up")).Should(Equal(1.0), "every user may ask a member for its state")
		Expect(m.Ready(ctx)).To(Succeed())

		Expect(root.UserRevokeRole(ctx, "alice", "writer")).Error().NotTo(HaveOccurred())
		Expect(w.write()).To(MatchError(rpctypes.ErrPermissionDenied))
		Expect(w.write()).To(MatchError(rpctypes.ErrPermissionDenied))
		Expect(m.Ready(ctx)).To(MatchError(And(MatchRegexp("etcd has refused all writes since .*, 2 in number"), ContainSubstring("may not do this"))))
		Expect(metric(m, "homeostat_etcd_writes_refused")()).To(Equal(1.0))

		Expect(root.UserGrantRole(ctx, "alice", "writer")).Error().NotTo(HaveOccurred())
		Expect(w.write()).To(Succeed())
		Expect(m.Ready(ctx)).To(Succeed())
		Expect(metric(m, "homeostat_etcd_writes_refused")()).To(BeZero())
	}, SpecTimeout(time.Minute))
})

func errorOf[T any](_ T, err error) error { return err }
