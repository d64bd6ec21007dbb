package controller_test

import (
	"context"
	"errors"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("Traces", func() {
	var recorder *tracetest.SpanRecorder
	var provider *sdktrace.TracerProvider

	BeforeEach(func() {
		recorder = tracetest.NewSpanRecorder()
		provider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	})

	named := func(name string) func() []sdktrace.ReadOnlySpan {
		return func() (found []sdktrace.ReadOnlySpan) {
			for _, s := range recorder.Ended() {
				if s.Name() == name {
					found = append(found, s)
				}
			}
			return found
		}
	}
	valueOf := func(s sdktrace.ReadOnlySpan, key attribute.Key) attribute.Value {
		for _, a := range s.Attributes() {
			if a.Key == key {
				return a.Value
			}
		}
		return attribute.Value{}
	}

	It("go from the change to the reconcile to its transaction", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{TracerProvider: provider})
		Expect(controller.New(m, "fill", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			tx.Create(newConfigMap(site.Name))
			return controller.Result{RequeueAfter: time.Hour}, nil
		}, controller.Options{}, controller.For[*Site](informer.GenerationChanged[*Site]()))).Error().To(Succeed())
		site := newSite("a", 1)
		create(ctx, m.Store(), site)
		run(m)
		Eventually(named("fill")).Should(HaveLen(1))
		whole := named("fill")()[0]
		Expect(valueOf(whole, "homeostat.key").AsString()).To(Equal("default/a"))
		Expect(valueOf(whole, "homeostat.causes").AsStringSlice()).To(Equal([]string{
			"initial Site default/a at " + site.ResourceVersion,
		}))
		Expect(named("queue")()).To(HaveLen(1))
		Expect(named("reconcile")()).To(HaveLen(1))
		wait, reconcile := named("queue")()[0], named("reconcile")()[0]
		Expect(wait.Parent().SpanID()).To(Equal(whole.SpanContext().SpanID()))
		Expect(reconcile.Parent().SpanID()).To(Equal(whole.SpanContext().SpanID()))
		Expect(wait.StartTime()).To(Equal(whole.StartTime()))
		Expect(wait.EndTime()).To(Equal(reconcile.StartTime()))
		Expect(valueOf(reconcile, "homeostat.requeue_after").AsString()).To(Equal("1h0m0s"))

		Expect(named("etcd transaction")()).To(HaveLen(1), "the creation of the Site belongs to no trace")
		txn := named("etcd transaction")()[0]
		Expect(txn.Parent().SpanID()).To(Equal(reconcile.SpanContext().SpanID()))
		Expect(valueOf(txn, "homeostat.keys").AsStringSlice()).To(ConsistOf(m.Store().Prefix() + "core/configmaps/default/a"))
		made, err := store.Get[*Site](ctx, m.Store(), store.KeyOf(site))
		Expect(err).NotTo(HaveOccurred())
		rev, err := store.ParseRevision(made.ResourceVersion)
		Expect(err).NotTo(HaveOccurred())
		Expect(valueOf(txn, "homeostat.revision").AsInt64()).To(BeNumerically(">", rev))
	}, SpecTimeout(time.Minute))

	It("show that a transaction was fenced", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{TracerProvider: provider, Leadership: &controller.Leadership{Name: leadershipName}})
		Expect(controller.New(m, "fill", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			tx.Create(newConfigMap(site.Name))
			return controller.Result{}, nil
		}, controller.Options{})).Error().To(Succeed())
		create(ctx, newStoreAt(etcd.Client(), m.Store().Prefix()), newSite("a", 1))
		run(m)
		Eventually(named("etcd transaction")).Should(HaveLen(1))
		Expect(valueOf(named("etcd transaction")()[0], "homeostat.fences").AsInt64()).To(Equal(int64(1)))
	}, SpecTimeout(time.Minute))

	It("show what failed", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{TracerProvider: provider})
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](func(ctx context.Context, _ controller.Request) (controller.Result, error) {
			_, err := m.Store().Create(ctx, newSite("No Name", 1))
			return controller.Result{}, controller.TerminalError(errors.Join(errors.New("no"), err))
		}), controller.Options{})).Error().To(Succeed())
		run(m)
		create(ctx, m.Store(), newSite("a", 1))
		Eventually(named("c")).Should(HaveLen(1))
		for _, name := range []string{"c", "reconcile", "etcd transaction"} {
			Expect(named(name)()).To(HaveLen(1))
			Expect(named(name)()[0].Status().Code).To(Equal(codes.Error), name)
		}
		Expect(valueOf(named("c")()[0], "homeostat.result").AsString()).To(Equal("error"))
	}, SpecTimeout(time.Minute))

	It("do not show a lost race as a failure", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{TracerProvider: provider})
		others := newStoreAt(etcd.Client(), m.Store().Prefix())
		Expect(controller.New(m, "c", func(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			if site.Spec.Replicas == 1 { // another writer is faster
				faster := site.DeepCopyObject().(*Site)
				faster.Spec.Replicas = 2
				if _, err := others.Update(ctx, faster); err != nil {
					return controller.Result{}, controller.TerminalError(err)
				}
			}
			site.Status.Ready = 1
			tx.UpdateStatus(site)
			return controller.Result{}, nil
		}, controller.Options{})).Error().To(Succeed())
		create(ctx, m.Store(), newSite("a", 1))
		run(m)
		Eventually(named("c")).ShouldNot(BeEmpty())
		whole, reconcile := named("c")()[0], named("reconcile")()[0]
		Expect(valueOf(whole, "homeostat.result").AsString()).To(Equal("requeue"))
		Expect(valueOf(reconcile, "homeostat.reason").AsString()).To(ContainSubstring("the object has changed"))
		txns := slices.DeleteFunc(named("etcd transaction")(), func(s sdktrace.ReadOnlySpan) bool {
			return valueOf(s, "homeostat.reason").AsString() == ""
		})
		Expect(txns).To(HaveLen(1))
		for _, s := range append(txns, whole, reconcile) {
			Expect(s.Status().Code).To(Equal(codes.Unset), s.Name())
			Expect(s.Events()).To(BeEmpty(), s.Name())
		}
	}, SpecTimeout(time.Minute))

	It("do not show a stop as a failure", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{TracerProvider: provider, GracePeriod: time.Hour, Clock: new(hastyClock)})
		begun := make(chan struct{})
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(ctx context.Context, _ controller.Request) (controller.Result, error) {
				close(begun)
				<-ctx.Done()
				_, err := m.Store().Create(ctx, newSite("b", 1))
				return controller.Result{}, err
			}), controller.Options{})).Error().To(Succeed())
		create(ctx, m.Store(), newSite("a", 1))
		stop := run(m)
		Eventually(begun).Should(BeClosed())
		stop()
		Expect(valueOf(named("c")()[0], "homeostat.result").AsString()).To(Equal("stopped"))
		for _, name := range []string{"c", "reconcile", "etcd transaction"} {
			Expect(named(name)()).To(HaveLen(1))
			Expect(named(name)()[0].Status().Code).To(Equal(codes.Unset), name)
		}
	}, SpecTimeout(time.Minute))
})
