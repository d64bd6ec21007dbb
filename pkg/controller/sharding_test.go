package controller_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

var _ = Describe("A sharding", func() {
	const a, b, d = "candidate 0", "candidate 1", "candidate 2"

	It("spreads the keys, and moves only what must move when a process joins or leaves", func(ctx SpecContext) {
		c := newSharing(ctx, etcd, patient)
		c.enter(0)
		one := c.settled(ctx, a)
		Expect(one.taken(0)).To(Equal(map[string]int{a: buckets}))

		second := c.enter(0)
		two := c.settled(ctx, a, b)
		Expect(two.taken(len(one.moves))).To(Equal(map[string]int{b: two.owned()[b]}))

		c.enter(0)
		three := c.settled(ctx, a, b, d)
		Expect(three.taken(len(two.moves))).To(Equal(map[string]int{d: three.owned()[d]}))

		second.stop()
		four := c.settled(ctx, a, d)
		Expect(four.taken(len(three.moves))).To(Equal(map[string]int{
			a: four.owned()[a] - three.owned()[a], d: four.owned()[d] - three.owned()[d],
		}))
		for i, x := range c.candidates {
			status := x.Sharding()
			Expect(status.Lost).To(BeZero())
			if x == second {
				Expect(status.Owned).To(BeZero())
				continue
			}
			Expect(status.Owned).To(Equal(four.owned()[fmt.Sprintf("candidate %d", i)]))
			Expect(status.Waiting + status.Draining).To(BeZero())
			Expect(status.Members).To(Equal([]string{a, d}))
			Expect(status.Ownerless).To(BeEmpty())
			Expect(status.Err).NotTo(HaveOccurred())
		}
	}, SpecTimeout(3*time.Minute))

	It("moves the buckets of a process that is cut off, silently or not", func(ctx SpecContext) {
		moves := func(fault func(*etcdtest.Link)) {
			GinkgoHelper()
			c := newSharing(ctx, etcd, briefly)
			first := c.enter(0)
			c.enter(0)
			c.enter(0)
			c.settled(ctx, a, b, d)
			fault(first.link)
			c.settled(ctx, b, d)
			Eventually(func() int { return first.Sharding().Owned }).Should(BeZero())
			Expect(first.Sharding().LastLoss).To(HaveOccurred())
			first.link.Heal()
			c.settled(ctx, a, b, d)
		}
		sideBySide(func() { moves((*etcdtest.Link).Cut) }, func() { moves((*etcdtest.Link).Freeze) })
	}, SpecTimeout(3*time.Minute))

	for what, take := range map[string]func(ctx SpecContext, c *contest){
		"after a lease is revoked": func(ctx SpecContext, c *contest) {
			resp, err := c.cluster.Client().Get(ctx, c.shardKey("members/"), clientv3.WithPrefix())
			Expect(err).NotTo(HaveOccurred())
			Expect(c.cluster.Client().Revoke(ctx, clientv3.LeaseID(resp.Kvs[0].Lease))).Error().NotTo(HaveOccurred())
		},
		"after a member's key is deleted by hand": func(ctx SpecContext, c *contest) {
			resp, err := c.cluster.Client().Get(ctx, c.shardKey("members/"), clientv3.WithPrefix())
			Expect(err).NotTo(HaveOccurred())
			Expect(c.cluster.Client().Delete(ctx, string(resp.Kvs[0].Key))).Error().NotTo(HaveOccurred())
		},
		"after a member's key is put by hand": func(ctx SpecContext, c *contest) {
			resp, err := c.cluster.Client().Get(ctx, c.shardKey("members/"), clientv3.WithPrefix())
			Expect(err).NotTo(HaveOccurred())
			Expect(c.cluster.Client().Put(ctx, string(resp.Kvs[0].Key), "without its lease")).Error().NotTo(HaveOccurred())
		},
		"after buckets' keys are deleted by hand": func(ctx SpecContext, c *contest) {
			Expect(c.cluster.Client().Delete(ctx, c.shardKey("buckets/0001"), clientv3.WithPrefix())).Error().NotTo(HaveOccurred())
		},
	} {
		It("assigns all buckets again "+what, func(ctx SpecContext) {
			c := newSharing(ctx, etcd, patient)
			c.enter(0)
			c.enter(0)
			before := c.settled(ctx, a, b)
			take(ctx, c)
			Eventually(func() int {
				return c.candidates[0].Sharding().Lost + c.candidates[1].Sharding().Lost
			}).Should(BeNumerically(">", 0))
			Expect(len(c.settled(ctx, a, b).moves)).To(BeNumerically(">", len(before.moves)))
		}, SpecTimeout(2*time.Minute))
	}

	It("assigns all buckets again after a restart of etcd, and after a wipe", func(ctx SpecContext) {
		cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
		c := newSharing(ctx, cluster, briefly)
		c.enter(0)
		c.enter(0)
		c.settled(ctx, a, b)
		Expect(cluster.Member(0).Stop()).To(Succeed())
		Expect(cluster.Member(0).Restart(ctx)).To(Succeed())
		c.settled(ctx, a, b)
		Expect(cluster.Wipe(ctx)).To(Succeed())
		fresh := newSharing(ctx, cluster, briefly)
		_ = fresh
		Eventually(func() int { return min(c.candidates[0].Sharding().Lost, c.candidates[1].Sharding().Lost) }).Should(BeNumerically(">", 0))
		Eventually(func() int { return c.candidates[0].Sharding().Owned + c.candidates[1].Sharding().Owned }).Should(Equal(buckets))
	}, SpecTimeout(3*time.Minute))

	It("hands a bucket over when its running reconciles have ended", func(ctx SpecContext) {
		c := newSharing(ctx, etcd, patient)
		s, err := sharedStore(etcd.Client(), c.store.Prefix())
		Expect(err).NotTo(HaveOccurred())
		first, err := controller.NewManager(s, controller.ManagerOptions{GracePeriod: time.Minute,
			Sharding: &controller.Sharding{Name: shardingName, Identity: "slow", Buckets: buckets, LeaseTime: patient}})
		Expect(err).NotTo(HaveOccurred())
		var begun journal[string]
		leave := make(chan struct{})
		Expect(controller.New(first, "c", func(ctx context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			begun.note(site.Name)
			<-leave
			site.Status.ObservedGeneration, _ = first.FencingToken(ctx)
			site.Status.Ready++
			tx.UpdateStatus(site)
			return controller.Result{RequeueAfter: again}, ctx.Err()
		}, controller.Options{Workers: families})).Error().To(Succeed())
		run(first)
		Eventually(begun.len).Should(Equal(families))

		second := c.enter(0) // all of what it is to get is in use
		Eventually(func() int { return first.Sharding().Draining }).Should(BeNumerically(">", 0))
		Eventually(func() int { return second.Sharding().Owned }).Should(BeNumerically(">", 0)) // what has no keys
		held := map[int]bool{}
		for _, name := range begun.all() {
			held[bucketOf("/"+name)] = true
		}
		for n, who := range c.verifySharing(ctx).owners {
			if held[n] {
				Expect(who).To(Equal("slow"))
			}
		}
		close(leave)
		Eventually(func() int { return first.Sharding().Draining }).Should(BeZero())
		Eventually(func() int { return second.Sharding().Owned + first.Sharding().Owned }).Should(Equal(buckets))
		Expect(second.Sharding().Lost + first.Sharding().Lost).To(BeZero())
		Eventually(func() int { return c.verifySharing(ctx).writes["candidate 0"] }).Should(BeNumerically(">", 0))
		Expect(c.verifySharing(ctx).writes["slow"]).To(BeNumerically(">=", families))
	}, SpecTimeout(2*time.Minute))

	It("cancels a reconcile that outlasts the grace period of its bucket", func(ctx SpecContext) {
		c := newSharing(ctx, etcd, patient)
		first, err := controller.NewManager(c.store, controller.ManagerOptions{GracePeriod: time.Millisecond,
			Sharding: &controller.Sharding{Name: shardingName, Identity: "slow", Buckets: buckets, LeaseTime: patient}})
		Expect(err).NotTo(HaveOccurred())
		var causes journal[string]
		var begun journal[string]
		Expect(controller.New(first, "c", func(ctx context.Context, _ *controller.Tx, site *Site) (controller.Result, error) {
			begun.note(site.Name)
			<-ctx.Done()
			causes.note(context.Cause(ctx).Error())
			return controller.Result{}, ctx.Err()
		}, controller.Options{Workers: families})).Error().To(Succeed())
		run(first)
		Eventually(begun.len).Should(Equal(families))
		second := c.enter(0)
		Eventually(func() int { return second.Sharding().Owned + first.Sharding().Owned }).Should(Equal(buckets))
		Eventually(func() int { return first.Sharding().Draining }).Should(BeZero())
		Eventually(causes.len).Should(BeNumerically(">", 0))
		Expect(causes.all()).To(HaveEach(ContainSubstring("handed over")))
		Expect(causes.len()).To(BeNumerically("<", families))
	}, SpecTimeout(2*time.Minute))

	It("forgets the failures of a key whose reconcile is cancelled with its bucket", func(ctx SpecContext) {
		c := newSharing(ctx, etcd, patient)
		first, err := controller.NewManager(c.store, controller.ManagerOptions{GracePeriod: time.Millisecond,
			Sharding: &controller.Sharding{Name: shardingName, Identity: "slow", Buckets: buckets, LeaseTime: patient}})
		Expect(err).NotTo(HaveOccurred())
		var failed sync.Map
		var begun, cancelled journal[string]
		sites, err := controller.New(first, "c", func(ctx context.Context, _ *controller.Tx, site *Site) (controller.Result, error) {
			if _, again := failed.LoadOrStore(site.Name, true); !again {
				return controller.Result{}, errors.New("the first time")
			}
			begun.note(site.Name)
			<-ctx.Done()
			cancelled.note(site.Name)
			return controller.Result{}, ctx.Err()
		}, controller.Options{Workers: families})
		Expect(err).NotTo(HaveOccurred())
		run(first)
		Eventually(begun.len).Should(Equal(families))
		other, err := sharedStore(etcd.Client(), c.store.Prefix())
		Expect(err).NotTo(HaveOccurred())
		second, err := controller.NewManager(other, controller.ManagerOptions{
			Sharding: &controller.Sharding{Name: shardingName, Identity: b, Buckets: buckets, LeaseTime: patient}})
		Expect(err).NotTo(HaveOccurred())
		Expect(controller.New(second, "c", func(context.Context, *controller.Tx, *Site) (controller.Result, error) {
			return controller.Result{}, nil // writes nothing that would bring the key up in the first process
		}, controller.Options{})).Error().To(Succeed())
		run(second)
		Eventually(cancelled.len).Should(BeNumerically(">", 0))
		for _, name := range cancelled.all() {
			key := controller.Request{Key: store.Key{Namespace: "default", Name: name}}
			Eventually(func() controller.KeyState[controller.Request] { return sites.KeyState(key) }).
				Should(Equal(controller.KeyState[controller.Request]{Key: key, Phase: controller.KeyIdle}))
		}
	}, SpecTimeout(2*time.Minute))

	It("reconciles a bucket once the replica has what its previous owners wrote", func(ctx SpecContext) {
		c := newSharing(ctx, etcd, patient)
		first := c.enter(0)
		c.settled(ctx, a)
		slow := newFaulty(etcd)
		second, err := newCandidate(slow.client, c.store.Prefix(), controller.ManagerOptions{
			Sharding: &controller.Sharding{Name: shardingName, Identity: b, Buckets: buckets, LeaseTime: patient},
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(second.Add("behind", func(context.Context) error { slow.hold(); return nil }, controller.RunnableOptions{})).To(Succeed())
		run(second.Manager)
		c.candidates = append(c.candidates, second)
		Eventually(func() int { return second.Sharding().Waiting }).Should(BeNumerically(">", 0))
		Expect(second.Sharding().Owned).To(Equal(second.Sharding().Waiting))
		Expect(second.terms.all()).To(BeEmpty())
		Expect(first.Sharding().Lost).To(BeZero())
		slow.release()
		c.settled(ctx, a, b)
	}, SpecTimeout(3*time.Minute))

	It("reports buckets without an owner", func(ctx SpecContext) {
		c := newSharing(ctx, etcd, time.Second)
		x := c.enter(0)
		c.settled(ctx, a)
		byHand := c.shardKey("members/by-hand")
		Expect(etcd.Client().Put(ctx, byHand, "by hand")).Error().NotTo(HaveOccurred())
		lease, err := etcd.Client().Grant(ctx, 600)
		Expect(err).NotTo(HaveOccurred())
		ghost := c.shardKey(fmt.Sprintf("members/%016x", int64(lease.ID))) // which will never take what is its
		Expect(etcd.Client().Put(ctx, ghost, "ghost", clientv3.WithLease(lease.ID))).Error().NotTo(HaveOccurred())
		Eventually(func() int { return x.Sharding().Owned + len(x.Sharding().Ownerless) }).Should(Equal(buckets))
		Eventually(func() int { return len(x.Sharding().Ownerless) }).Should(BeNumerically(">", 10))
		Expect(metric(x.Manager, "homeostat_sharding_buckets", "ownerless")()).To(BeNumerically(">", 10))
		Expect(x.Ready(ctx)).To(MatchError(ContainSubstring("no owner")))
		Expect(x.Sharding().Members).To(Equal([]string{a, "ghost"}), "a key without a lease is no member")
		Expect(etcd.Client().Revoke(ctx, lease.ID)).Error().NotTo(HaveOccurred())
		c.settled(ctx, a)
		Expect(etcd.Client().Delete(ctx, byHand)).Error().NotTo(HaveOccurred())
		Eventually(func() []int { return x.Sharding().Ownerless }).Should(BeEmpty())
		Expect(metric(x.Manager, "homeostat_sharding_buckets", "owned")()).To(BeNumerically("==", buckets))
		Expect(metric(x.Manager, "homeostat_sharding_moves_total", "released")()).To(BeNumerically(">", 10))
		Eventually(func() error { return x.Ready(ctx) }).Should(Succeed())
	}, SpecTimeout(2*time.Minute))

	It("refuses another number of buckets until all processes have ended", func(ctx SpecContext) {
		c := newSharing(ctx, etcd, patient)
		first := c.enter(0)
		c.settled(ctx, a)
		c.buckets = 8
		second := c.enter(0)
		Eventually(func() error { return second.Sharding().Err }).Should(MatchError(And(ContainSubstring("64 buckets"), ContainSubstring("wants 8"))))
		Expect(second.Sharding().Owned).To(BeZero())
		c.settled(ctx, a)
		first.stop()
		Eventually(func() int { return second.Sharding().Owned }).Should(Equal(8))
		Expect(second.Sharding().Err).NotTo(HaveOccurred())
	}, SpecTimeout(2*time.Minute))

	It("is joined once, although the answer is lost", func(ctx SpecContext) {
		c := newSharing(ctx, etcd, patient)
		c.enter(0)
		c.settled(ctx, a)
		var lost atomic.Bool
		lossy, err := etcd.NewClient(etcdtest.ClientOptions{Configure: func(cfg *clientv3.Config) {
			cfg.DialOptions = append(cfg.DialOptions, grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string,
				req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				err := invoke(ctx, method, req, reply, cc, opts...)
				joins := method == "/etcdserverpb.KV/Txn" && strings.Contains(fmt.Sprint(req), c.shardKey("members/"))
				if joins && lost.CompareAndSwap(false, true) {
					return status.Error(codes.Internal, "the answer got lost")
				}
				return err
			}))
		}})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(lossy.Close)
		second, err := newCandidate(lossy, c.store.Prefix(), controller.ManagerOptions{
			Sharding: &controller.Sharding{Name: shardingName, Identity: b, Buckets: buckets, LeaseTime: patient},
		})
		Expect(err).NotTo(HaveOccurred())
		run(second.Manager)
		c.settled(ctx, a, b)
		joined := 0
		for _, ev := range historyOf(ctx, c.store, c.begun+1) {
			if strings.HasPrefix(string(ev.Kv.Key), c.shardKey("members/")) {
				Expect(ev.Type).To(Equal(clientv3.EventTypePut))
				if ev.IsCreate() {
					joined++
				}
			}
		}
		Expect(lost.Load()).To(BeTrue())
		Expect(joined).To(Equal(2))
		Expect(second.Sharding().Lost).To(BeZero())
	}, SpecTimeout(2*time.Minute))

	It("reports that the number of buckets is missing", func(ctx SpecContext) {
		c := newSharing(ctx, etcd, patient)
		ghost := c.shardKey("members/ghost")
		Expect(etcd.Client().Put(ctx, ghost, "ghost")).Error().NotTo(HaveOccurred())
		x := c.enter(0)
		Eventually(func() error { return x.Sharding().Err }).Should(MatchError(And(ContainSubstring(c.shardKey("count")), ContainSubstring("missing"))))
		Expect(etcd.Client().Delete(ctx, ghost)).Error().NotTo(HaveOccurred())
		c.settled(ctx, a)
	}, SpecTimeout(2*time.Minute))

	It("leaves no write without a fence, and no goroutine behind", func(ctx SpecContext) {
		c := newSharing(ctx, etcd, patient)
		x := c.enter(0)
		c.settled(ctx, a)
		late := x.ctx.all()[0]
		_, err := x.Store().Create(ctx, newSite("a", 1))
		Expect(err).To(MatchError(And(ContainSubstring("not sent"), ContainSubstring(`sharding "spec"`))))
		x.stop()
		Expect(goroutinesIn("/pkg/controller.", "/pkg/informer.")).To(BeEmpty())
		_, err = x.Store().Create(context.WithoutCancel(late), newSite("a", 1))
		Expect(store.IsFenced(err)).To(BeTrue())
		resp, err := etcd.Client().Get(ctx, c.shardKey(""), clientv3.WithPrefix())
		Expect(err).NotTo(HaveOccurred())
		Expect(resp.Kvs).To(HaveLen(1)) // the number of buckets
	}, SpecTimeout(time.Minute))

	It("refuses controllers whose keys it cannot spread", func() {
		sharded := controller.ManagerOptions{Sharding: &controller.Sharding{Name: shardingName}}
		generic := func(m *controller.Manager, o controller.Options) error {
			_, err := controller.NewReconciler(m, "generic", controller.ReconcilerFunc[int](func(context.Context, int) (controller.Result, error) {
				return controller.Result{}, nil
			}), o, controller.FromChannel(make(chan int)))
			return err
		}
		Expect(generic(newManager(sharded), controller.Options{})).To(MatchError(ContainSubstring("cannot be sharded")))
		Expect(generic(newManager(sharded), controller.Options{EveryProcess: true})).To(Succeed())
		both := sharded
		both.Leadership = &controller.Leadership{Name: leadershipName}
		Expect(generic(newManager(both), controller.Options{})).To(Succeed())
		for _, o := range []controller.Sharding{{}, {Name: "a/b"}, {Name: "a", Buckets: -1}, {Name: "a", Buckets: 1 << 20}, {Name: "a", LeaseTime: -1},
			{Name: "a", LeaseTime: math.MaxInt64}, {Name: "a", LeaseTime: 290 * 365 * 24 * time.Hour}} {
			_, err := controller.NewManager(newStore(etcd.Client()), controller.ManagerOptions{Sharding: &o})
			Expect(err).To(HaveOccurred())
		}
	})
})
