package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// holdBriefly makes groups of all that comes within a short time: the largest that the
// callers allow.
func holdBriefly(s *store.Store) *store.Store {
	store.HoldGroups(s, func() { time.Sleep(time.Millisecond) })
	return s
}

// metricOf returns the value of a store's metric, or the number and the sum of what a
// histogram has observed.
func metricOf(s *store.Store, name string) (value, sum float64) {
	GinkgoHelper()
	registry := prometheus.NewRegistry()
	Expect(registry.Register(s.Collector())).To(Succeed())
	families, err := registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount()), m.GetHistogram().GetSampleSum()
		}
	}
	Fail("no metric " + name)
	return 0, 0
}

func commitsWaiting(s *store.Store) func() float64 {
	return func() float64 {
		waiting, _ := metricOf(s, "homeostat_store_commits_waiting")
		return waiting
	}
}

var _ = Describe("Transactions that wait for etcd", func() {
	var (
		w    *wire
		s    *store.Store // through the wire
		sure *store.Store // not through it
		hold func()       // makes groups wait
		free func()       // lets them go
	)
	BeforeEach(func() {
		w = &wire{}
		s = newStoreOn(newClient(w.tap))
		sure = newStore(sharing(s))
		held := make(chan struct{})
		hold, free = func() { <-held }, sync.OnceFunc(func() { close(held) })
		DeferCleanup(free)
		store.HoldGroups(s, hold)
	})
	// together starts all writes, lets them go when all wait, and waits for their end.
	together := func(writes ...func()) {
		GinkgoHelper()
		var all sync.WaitGroup
		for i, write := range writes {
			all.Go(func() { defer GinkgoRecover(); write() })
			Eventually(commitsWaiting(s)).Should(BeNumerically("==", i+1)) // so that they have this order
		}
		free()
		all.Wait()
	}
	sites := func(ctx context.Context, names ...string) (all []*Site) {
		for _, name := range names {
			all = append(all, created(ctx, sure, name))
		}
		return all
	}

	It("go in one request, at one revision, each with its own answer", func(ctx SpecContext) {
		there := sites(ctx, "changed", "outdated", "there")
		changed, outdated := there[0], there[1]
		changed.Spec.Image = "x"
		old := cache{siteKey(s, "outdated"): outdated.DeepCopy()}
		outdated.Spec.Image = "theirs"
		Expect(sure.Update(ctx, outdated.DeepCopy())).Error().To(Succeed())
		outdated.Spec.Image = "ours"
		fresh := newSite("new")
		var made, updated, twice, refused error
		sent := w.during(func() {
			together(
				func() { _, made = s.Create(ctx, fresh) },
				func() { _, updated = s.Update(ctx, changed) },
				func() { _, twice = s.Create(ctx, newSite("there")) },
				func() { _, refused = s.WithCache(old).Update(ctx, outdated) },
			)
		})
		Expect(errors.Join(made, updated)).To(Succeed())
		Expect(twice).To(MatchError(apierrors.IsAlreadyExists, "AlreadyExists"))
		Expect(refused).To(MatchError(apierrors.IsConflict, "Conflict"))
		Expect(fresh.ResourceVersion).To(Equal(changed.ResourceVersion))
		Expect(get(ctx, sure, "new")).To(Equal(fresh))
		Expect(get(ctx, sure, "changed")).To(Equal(changed))
		Expect(get(ctx, sure, "outdated").Spec.Image).To(Equal("theirs"))
		Expect(sent).To(Equal([]string{"Txn", "Txn", "Txn"}), "a read of a prior, the question whether the server nests, and the group")
	})

	It("observe their writes, and what these replaced, at the group's revision", func(ctx SpecContext) {
		a := sites(ctx, "a")[0]
		was, err := store.ParseRevision(a.ResourceVersion)
		Expect(err).NotTo(HaveOccurred())
		a.Spec.Image = "x"
		b := newSite("b")
		var ofA, ofB store.Write
		together(
			func() {
				Expect(s.Update(store.ObserveWrites(ctx, func(w store.Write) { ofA = w }), a)).Error().To(Succeed())
			},
			func() {
				Expect(s.Create(store.ObserveWrites(ctx, func(w store.Write) { ofB = w }), b)).Error().To(Succeed())
			},
		)
		Expect(ofA.Revision).To(Equal(ofB.Revision))
		Expect(ofA.Revision).To(Equal(revision(ctx, sure)))
		Expect(ofA.Keys).To(Equal([]string{siteKey(s, "a")}))
		Expect(ofB.Keys).To(Equal([]string{siteKey(s, "b")}))
		Expect(ofA.Replaced).To(Equal([]int64{was}))
		Expect(ofB.Replaced).To(Equal([]int64{0}))
	})

	It("reach a watch one by one, none twice and none lost, although they have one revision", func(ctx SpecContext) {
		from := revision(ctx, sure)
		together(
			func() { Expect(s.Create(ctx, newSite("a"))).Error().To(Succeed()) },
			func() { Expect(s.Create(ctx, newSite("b"))).Error().To(Succeed()) },
			func() { Expect(s.Create(ctx, newSite("c"))).Error().To(Succeed()) },
		)
		created(ctx, sure, "end")
		var names []string
		for event, err := range store.Watch[*Site](ctx, sure, store.WatchOptions{From: from + 1}) {
			Expect(err).NotTo(HaveOccurred())
			if event.Object.Name == "end" {
				break
			}
			Expect(event.Object.ResourceVersion).To(Equal(store.FormatRevision(from + 1)))
			names = append(names, event.Object.Name)
		}
		Expect(names).To(ConsistOf("a", "b", "c"))
	})

	It("do not fail for another's lack of permission", func(ctx SpecContext) {
		cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
		alice := restricted(ctx, cluster, "/spec/example.com/sites/default/")
		s = newStoreOn(alice, func(o *store.Options) { o.Prefix = "/spec/" })
		store.HoldGroups(s, hold)
		forbidden := newSite("b")
		forbidden.Namespace = "elsewhere"
		var allowed, refused error
		together(
			func() { _, allowed = s.Create(ctx, newSite("a")) },
			func() { _, refused = s.Create(ctx, forbidden) },
			func() { Expect(s.Create(ctx, newSite("c"))).Error().To(Succeed()) },
		)
		Expect(allowed).To(Succeed())
		Expect(errors.Is(refused, rpctypes.ErrPermissionDenied)).To(BeTrue())
		Expect(store.IsUnknownOutcome(refused)).To(BeFalse())
	})

	It("find out each by itself what became of it, if the answer is lost", func(ctx SpecContext) {
		a := sites(ctx, "a")[0]
		a.Spec.Image = "x"
		lost := func(call func() error) error {
			if err := call(); err != nil {
				return err
			}
			return status.Error(codes.Unavailable, "error reading from server: EOF")
		}
		var made, other, updated error
		w.onTxn(3, lost) // after the read of the prior, and the question whether the server nests
		together(
			func() { _, updated = s.Update(ctx, a) },
			func() { _, made = s.Create(ctx, newSite("b")) },
			func() { _, other = s.Create(ctx, newSite("c")) },
		)
		Expect(errors.Join(made, other)).To(Succeed())
		Expect(store.IsUnknownOutcome(updated)).To(BeTrue())
		Expect(get(ctx, sure, "a").Spec.Image).To(Equal("x"))
	})

	It("are certainly not sent if their context ends before", func(ctx SpecContext) {
		canceled, cancel := context.WithCancel(ctx)
		var all sync.WaitGroup
		all.Go(func() { defer GinkgoRecover(); Expect(s.Create(ctx, newSite("a"))).Error().To(Succeed()) })
		Eventually(commitsWaiting(s)).Should(Equal(1.0))
		left := make(chan error)
		go func() { _, err := s.Create(canceled, newSite("b")); left <- err }()
		Eventually(commitsWaiting(s)).Should(Equal(2.0))
		cancel()
		err := <-left
		Expect(err).To(MatchError(context.Canceled))
		Expect(store.IsUnknownOutcome(err)).To(BeFalse())
		free()
		all.Wait()
		Expect(store.Get[*Site](ctx, sure, store.KeyOf(newSite("b")))).Error().To(MatchError(apierrors.IsNotFound, "NotFound"))
	})

	It("have an unknown outcome if their context ends while they are under way, and do not stop the others", func(ctx SpecContext) {
		canceled, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		w.onTxn(2, func(call func() error) error {
			cancel()
			<-ended
			return call()
		})
		together(
			func() {
				defer close(ended)
				_, err := s.Create(canceled, newSite("a"))
				Expect(err).To(MatchError(context.Canceled))
				Expect(store.IsUnknownOutcome(err)).To(BeTrue())
			},
			func() { Expect(s.Create(ctx, newSite("b"))).Error().To(Succeed()) },
			func() { Expect(s.Create(ctx, newSite("c"))).Error().To(Succeed()) },
		)
	})

	It("show their group in traces and metrics", func(ctx SpecContext) {
		recorder := tracetest.NewSpanRecorder()
		tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
		traced, root := tracer.Start(ctx, "root")
		together(
			func() { Expect(s.Create(traced, newSite("a"))).Error().To(Succeed()) },
			func() { Expect(s.Create(ctx, newSite("b"))).Error().To(Succeed()) },
		)
		root.End()
		Expect(recorder.Ended()[0].Attributes()).To(ContainElement(attribute.Int("homeostat.group_size", 2)))
		requests, members := metricOf(s, "homeostat_store_commit_group_size")
		Expect([]float64{requests, members}).To(Equal([]float64{1, 2}))
		waited, _ := metricOf(s, "homeostat_store_commit_wait_seconds")
		Expect(waited).To(Equal(2.0))
	})

	It("go at once, each in its own request, if groups are turned off", func(ctx SpecContext) {
		s := newStoreOn(newClient(w.tap), func(o *store.Options) { o.Ungrouped = true })
		const writers = 8
		arrived := make(chan struct{}, writers)
		w.unary = func(_ string, call func() error) error {
			arrived <- struct{}{}
			for len(arrived) < writers { // all are under way
				if ctx.Err() != nil {
					return ctx.Err()
				}
				time.Sleep(time.Millisecond)
			}
			return call()
		}
		var all sync.WaitGroup
		for i := range writers {
			all.Go(func() {
				defer GinkgoRecover()
				Expect(s.Create(ctx, newSite(fmt.Sprint("s", i)))).Error().To(Succeed())
			})
		}
		all.Wait()
	}, SpecTimeout(time.Minute))
})

// restricted returns a client of a user who may use the keys with a prefix.
func restricted(ctx context.Context, cluster *etcdtest.Cluster, prefix string) *clientv3.Client {
	GinkgoHelper()
	c := cluster.Client()
	for _, step := range []func() error{
		func() error { _, err := c.UserAdd(ctx, "root", "secret"); return err },
		func() error { _, err := c.RoleAdd(ctx, "root"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := c.UserAdd(ctx, "alice", "secret"); return err },
		func() error { _, err := c.RoleAdd(ctx, "writer"); return err },
		func() error {
			_, err := c.RoleGrantPermission(ctx, "writer", prefix, clientv3.GetPrefixRangeEnd(prefix), clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := c.UserGrantRole(ctx, "alice", "writer"); return err },
		func() error { _, err := c.AuthEnable(ctx); return err },
	} {
		Expect(step()).To(Succeed())
	}
	alice, err := cluster.NewClient(etcdtest.ClientOptions{Configure: func(c *clientv3.Config) { c.Username, c.Password = "alice", "secret" }})
	Expect(err).NotTo(HaveOccurred())
	return alice
}

// Of each pair of sites, one may go off only if the other is on. Transactions verify
// that with a condition on the other, which is a write skew where both go at once.
func TestNoWriteSkew(t *testing.T) {
	etcdtest.VerifyNoLeaks(t)
	const pairs, rounds = 6, 12
	s := holdBriefly(siteStore(t, etcdtest.Start(t, etcdtest.Options{}).Client()))
	// set makes a site on or off; off only if the other, as it was read, is on.
	set := func(name, other string, on int32) error {
		both, err := store.List[*Site](t.Context(), s, store.ListOptions{Namespace: "default"})
		if err != nil {
			return err
		}
		at := map[string]*Site{}
		for _, site := range both.Items {
			at[site.Name] = site
		}
		if on == 0 && at[other].Spec.Replicas == 0 {
			return nil
		}
		at[name].Spec.Replicas = on
		txn := s.Txn()
		txn.Update(at[name])
		txn.Unchanged(at[other])
		_, err = txn.Commit(t.Context())
		return err
	}
	var all sync.WaitGroup
	for pair := range pairs {
		all.Go(func() {
			names := []string{fmt.Sprint("a", pair), fmt.Sprint("b", pair)}
			for _, name := range names {
				if _, err := s.Create(t.Context(), newSite(name)); err != nil {
					t.Error(err)
					return
				}
			}
			for range rounds {
				for i := range names {
					_ = set(names[i], names[1-i], 1)
				}
				var doctors sync.WaitGroup
				for i := range names {
					doctors.Go(func() { _ = set(names[i], names[1-i], 0) })
				}
				doctors.Wait()
				off := 0
				for _, name := range names {
					site, err := store.Get[*Site](t.Context(), s, store.KeyOf(newSite(name)))
					if err != nil {
						t.Error(err)
						return
					}
					if site.Spec.Replicas == 0 {
						off++
					}
				}
				if off == 2 {
					t.Errorf("both of pair %d are off", pair)
				}
			}
		})
	}
	all.Wait()
}
