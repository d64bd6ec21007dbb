package controller_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// A reconcile that fails is not brought back by its own writes. These specs make sure
// that it takes nothing else for its own.
var _ = Describe("A reconcile that failed for good", func() {
	var m *controller.Manager
	BeforeEach(func() { m = newManager(controller.ManagerOptions{}) })

	// failing returns a reconciler whose first reconcile of a key fails for good after
	// it has called first.
	failing := func(calls *journal[string], first func(ctx context.Context, key store.Key)) controller.Reconciler[controller.Request] {
		return controller.ReconcilerFunc[controller.Request](func(ctx context.Context, r controller.Request) (controller.Result, error) {
			calls.note(r.Name)
			if calls.len() > 1 {
				return controller.Result{}, nil
			}
			first(ctx, r.Key)
			return controller.Result{}, controller.TerminalError(errors.New("no"))
		})
	}
	report := func(ctx context.Context, key store.Key) int64 {
		GinkgoHelper()
		_, rev, err := store.Mutate(ctx, m.Store(), key, func(s *Site) error { s.Status.Ready++; return nil })
		Expect(err).NotTo(HaveOccurred())
		return rev
	}
	change := func(ctx context.Context, key store.Key) {
		GinkgoHelper()
		_, _, err := store.Mutate(ctx, m.Store(), key, func(s *Site) error { s.Spec.Replicas++; return nil })
		Expect(err).NotTo(HaveOccurred())
	}
	debounced := controller.Debounced(informer.Debounce{Quiet: 300 * time.Millisecond}, controller.For[*Site]())

	It("is not brought back by its report, joined with an earlier own write", func(ctx SpecContext) {
		var calls journal[string]
		Expect(controller.NewFor[*Site](m, "c", failing(&calls, func(ctx context.Context, key store.Key) {
			report(ctx, key)
			report(ctx, key)
		}), controller.Options{}, debounced)).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(calls.len).Should(Equal(1))
		Consistently(calls.len).WithTimeout(time.Second).Should(Equal(1))
	}, SpecTimeout(time.Minute))

	It("is brought back by a change that came before its report, and is joined with that", func(specCtx SpecContext) {
		var calls journal[string]
		Expect(controller.NewFor[*Site](m, "c", failing(&calls, func(ctx context.Context, key store.Key) {
			change(specCtx, key)
			report(ctx, key)
		}), controller.Options{}, debounced)).Error().To(Succeed())
		run(m)
		create(specCtx, m.Store(), newSite("a", 1))
		Eventually(calls.len).WithTimeout(5 * time.Second).Should(Equal(2))
	}, SpecTimeout(time.Minute))

	for what, write := range map[string]func(ctx context.Context, before *Site){
		"changed nothing": func(ctx context.Context, before *Site) {
			_, _, err := store.Mutate(ctx, m.Store(), store.KeyOf(before), func(*Site) error { return nil })
			Expect(err).NotTo(HaveOccurred())
		},
		"was refused": func(ctx context.Context, before *Site) {
			Expect(m.Store().UpdateStatus(ctx, before)).Error().To(HaveOccurred())
		},
		"wrote another object beside it": func(ctx context.Context, before *Site) {
			t := m.Store().Txn()
			t.Create(newSite("b", 1))
			before.ResourceVersion, before.Status.Ready = "", 7
			t.UpdateStatus(before)
			Expect(t.Commit(ctx)).Error().NotTo(HaveOccurred())
		},
	} {
		It("is brought back by a change that came before a write that "+what, func(specCtx SpecContext) {
			var calls journal[string]
			Expect(controller.NewFor[*Site](m, "c", failing(&calls, func(ctx context.Context, key store.Key) {
				before, err := store.Get[*Site](ctx, m.Store(), key)
				Expect(err).NotTo(HaveOccurred())
				change(specCtx, key)
				before.Status.Ready = 7
				write(ctx, before)
			}), controller.Options{}, controller.For(informer.Where(func(s *Site) bool { return s.Name == "a" })))).Error().To(Succeed())
			run(m)
			create(specCtx, m.Store(), newSite("a", 1))
			Eventually(calls.len).WithTimeout(5 * time.Second).Should(BeNumerically(">=", 2))
		}, SpecTimeout(time.Minute))
	}

	It("is brought back by another writer's change that went in one request with its report", func(specCtx SpecContext) {
		open := make(chan struct{}) // when the first requests end
		client, err := etcd.NewClient(etcdtest.ClientOptions{Configure: func(cfg *clientv3.Config) {
			cfg.DialOptions = append(cfg.DialOptions, grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string,
				req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				if strings.Contains(fmt.Sprint(req), "/filler") {
					<-open
				}
				return invoke(ctx, method, req, reply, cc, opts...)
			}))
		}})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(client.Close)
		m = newManagerOn(newStore(client), controller.ManagerOptions{})
		waiting := metric(m, "homeostat_store_commits_waiting")
		var background sync.WaitGroup
		defer background.Wait()
		write := func(obj store.Object) {
			background.Go(func() {
				defer GinkgoRecover()
				Expect(m.Store().Create(specCtx, obj)).Error().NotTo(HaveOccurred())
			})
		}
		theirs := newConfigMap("theirs")
		var calls journal[string]
		var reported int64
		Expect(controller.NewFor[*Site](m, "c", failing(&calls, func(ctx context.Context, key store.Key) {
			for i := 0; waiting() == 0; i++ { // as many requests as may be under way at once
				write(newConfigMap(fmt.Sprint("filler", i)))
				time.Sleep(10 * time.Millisecond)
			}
			before := waiting()
			write(theirs)
			Eventually(waiting).Should(Equal(before + 1))
			background.Go(func() {
				defer GinkgoRecover()
				defer close(open)
				Eventually(waiting).Should(Equal(before + 2))
			})
			reported = report(ctx, key)
			background.Wait()
		}), controller.Options{}, controller.For[*Site](), controller.WatchesEvents(func(_ context.Context, e informer.Event[*corev1.ConfigMap]) []controller.Request {
			if e.Object.Name != "theirs" {
				return nil
			}
			return []controller.Request{request(newSite("a", 1))}
		}))).Error().To(Succeed())
		run(m)
		create(specCtx, m.Store(), newSite("a", 1))
		Eventually(calls.len).WithTimeout(5 * time.Second).Should(Equal(2))
		Expect(theirs.ResourceVersion).To(Equal(store.FormatRevision(reported)))
	}, SpecTimeout(time.Minute))

	It("is brought back by a change in another etcd at the revision of its report", func(ctx SpecContext) {
		other := newStore(etcdtest.Start(GinkgoTB(), etcdtest.Options{}).Client())
		replica := informer.NewReplica(other, informer.Options{})
		sites, err := informer.For[*Site](replica)
		Expect(err).NotTo(HaveOccurred())
		Expect(m.AddReplica("other", replica)).To(Succeed())
		var calls journal[string]
		reported := make(chan int64, 1)
		Expect(controller.NewFor[*Site](m, "c", failing(&calls, func(ctx context.Context, key store.Key) {
			for revision, err := other.Revision(ctx); ; revision, err = other.Revision(ctx) { // the other is behind
				Expect(err).NotTo(HaveOccurred())
				now, err := m.Store().Revision(ctx)
				Expect(err).NotTo(HaveOccurred())
				if now > revision+1 {
					break
				}
				Expect(etcd.Client().Put(ctx, "/filler", "")).Error().NotTo(HaveOccurred())
			}
			reported <- report(ctx, key)
		}), controller.Options{}, controller.WatchesInformerEvents(sites, func(_ context.Context, e informer.Event[*Site]) []controller.Request {
			return []controller.Request{request(e.Object)}
		}))).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		revision := <-reported
		for now, err := other.Revision(ctx); now < revision-1; now, err = other.Revision(ctx) {
			Expect(err).NotTo(HaveOccurred())
			Expect(other.Client().Put(ctx, "/filler", "")).Error().NotTo(HaveOccurred())
		}
		Consistently(calls.len).WithTimeout(500 * time.Millisecond).Should(Equal(1))
		Expect(other.Create(ctx, newSite("a", 1))).To(Equal(revision))
		Eventually(calls.len).WithTimeout(5 * time.Second).Should(Equal(2))
	}, SpecTimeout(time.Minute))
})
