package controller_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A key whose value cannot be decoded", func() {
	var (
		m     *controller.Manager
		sites *controller.Controller[controller.Request]
		calls *journal[controller.Cause] // the first cause of each reconcile
	)
	key := controller.Request{Key: store.Key{Namespace: "default", Name: "a"}}
	siteKey := func(name string) string { return m.Store().Prefix() + "example.com/sites/default/" + name }
	putRaw := func(ctx context.Context, name, value string) int64 {
		GinkgoHelper()
		resp, err := m.Store().Client().Put(ctx, siteKey(name), value)
		Expect(err).NotTo(HaveOccurred())
		return resp.Header.Revision
	}
	value := func(name, version string) string {
		return fmt.Sprintf(`{"kind":"Site","apiVersion":"example.com/%s","metadata":{"namespace":"default","name":%q,"generation":1},"spec":{"replicas":1}}`, version, name)
	}
	reconcile := controller.ReconcilerFunc[controller.Request](func(ctx context.Context, _ controller.Request) (controller.Result, error) {
		causes, _ := controller.Causes(ctx)
		calls.note(causes[0])
		return controller.Result{}, nil
	})
	phase := func() controller.KeyPhase { return sites.KeyState(key).Phase }

	BeforeEach(func() {
		m, calls = newManager(controller.ManagerOptions{}), &journal[controller.Cause]{}
		var err error
		sites, err = controller.NewFor[*Site](m, "c", reconcile, controller.Options{}, controller.For(informer.GenerationChanged[*Site]()))
		Expect(err).NotTo(HaveOccurred())
	})

	It("is reconciled when the value can be decoded, whatever the filters say", func(ctx SpecContext) {
		putRaw(ctx, "a", value("a", "v1"))
		run(m)
		Eventually(calls.len).Should(Equal(1))
		Expect(m.Replica().WaitForRevision(ctx, putRaw(ctx, "a", value("a", "v7")))).To(Succeed())
		Expect(phase()).To(Equal(controller.KeyIdle), "nothing has asked for it")

		Expect(sites.Requeue(key)).To(Succeed())
		Eventually(phase).Should(Equal(controller.KeyUndecodable))
		Expect(sites.Requeue(key)).To(Succeed())
		Eventually(phase).Should(Equal(controller.KeyUndecodable))
		s := sites.KeyState(key)
		Expect(s.Since).To(BeTemporally("~", time.Now(), time.Hour))
		Expect(s.LastError).To(And(ContainSubstring(siteKey("a")), ContainSubstring("v7")))
		Expect(sites.State().Undecodable).To(Equal(1))
		Expect(sites.KeyStates(10)).To(HaveExactElements(HaveField("Phase", controller.KeyUndecodable)))
		Expect(metric(m, "homeostat_undecodable_keys", "c")()).To(Equal(1.0))
		Expect(sites.ReconcileOnce(ctx, key)).Error().To(MatchError(ContainSubstring("cannot be decoded")))

		putRaw(ctx, "a", value("a", "v8"))
		putRaw(ctx, "a", value("a", "v1"))
		Eventually(calls.all).Should(HaveLen(2))
		Expect(calls.all()[1].Type).To(Equal(controller.CauseDecodable))
		Eventually(phase).Should(Equal(controller.KeyIdle))
		Expect(sites.State().Undecodable).To(BeZero())
	}, SpecTimeout(time.Minute))

	It("is not taken for one without an object", func(ctx SpecContext) {
		putRaw(ctx, "a", value("a", "v7"))
		run(m)
		Eventually(func() error { return sites.Requeue(key) }).Should(Succeed())
		Eventually(phase).Should(Equal(controller.KeyUndecodable))
		Expect(calls.all()).To(BeEmpty())
		_, err := m.Store().Client().Delete(ctx, siteKey("a"))
		Expect(err).NotTo(HaveOccurred())
		Eventually(calls.all).Should(HaveExactElements(HaveField("Type", controller.CauseDecodable)))
	}, SpecTimeout(time.Minute))

	It("is one of many after an upgrade of another program, and none is reconciled with its old object", func(ctx SpecContext) {
		const all, upgraded = 2000, 1600
		putAll := func(to int, version string) (revision int64) {
			GinkgoHelper()
			for from := 0; from < to; from += 100 {
				var puts []clientv3.Op
				for i := from; i < from+100; i++ {
					name := fmt.Sprintf("site-%04d", i)
					puts = append(puts, clientv3.OpPut(siteKey(name), value(name, version)))
				}
				resp, err := m.Store().Client().Txn(ctx).Then(puts...).Commit()
				Expect(err).NotTo(HaveOccurred())
				revision = resp.Header.Revision
			}
			return revision
		}
		putAll(all, "v1")
		run(m)
		Eventually(calls.len).Should(Equal(all))
		Expect(m.Replica().WaitForRevision(ctx, putAll(upgraded, "v2"))).To(Succeed())
		for i := range all {
			Expect(sites.Requeue(controller.Request{Key: store.Key{Namespace: "default", Name: fmt.Sprintf("site-%04d", i)}})).To(Succeed())
		}
		Eventually(func() int { return sites.State().Undecodable }).Should(Equal(upgraded))
		Eventually(calls.len).Should(Equal(all + all - upgraded))
		putAll(upgraded, "v1")
		Eventually(calls.len).Should(Equal(all + all))
		Expect(sites.State().Undecodable).To(BeZero())
	}, SpecTimeout(time.Minute))
})
