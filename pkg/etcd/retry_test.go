package etcd_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// newMember starts a server that answers every request with the result of answer, and returns
// its endpoint.
func newMember(answer func(ctx context.Context) error) string {
	GinkgoHelper()
	socket := filepath.Join(GinkgoT().TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	Expect(err).NotTo(HaveOccurred())
	bad := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error { return answer(stream.Context()) }))
	served := make(chan struct{})
	go func() { defer close(served); _ = bad.Serve(listener) }()
	DeferCleanup(func() { bad.Stop(); <-served })
	return "unix://" + socket
}

var _ = Describe("One bad member among three", func() {
	const requests = 6 // the balancer takes turns: a third of them goes to the bad member

	// mustWork executes every kind of request through a client.
	mustWork := func(ctx context.Context, client *clientv3.Client) {
		GinkgoHelper()
		keys := etcd.PrefixRange("/bad/")
		for i := range 5 {
			Expect(etcd.Retry(ctx, client, func(ctx context.Context) error {
				_, err := client.Put(ctx, fmt.Sprintf("/bad/%d", i), "v")
				return err
			})).To(Succeed())
		}
		for range requests {
			revision, err := etcd.CurrentRevision(ctx, client, keys)
			Expect(err).NotTo(HaveOccurred())
			Expect(etcd.Get(ctx, client, []string{"/bad/1", "/bad/2"}, 0)).To(HaveLen(2))
			n := 0
			Expect(etcd.List(ctx, client, keys, 0, func(kvs []*mvccpb.KeyValue) error { n += len(kvs); return nil })).To(BeNumerically(">=", revision))
			Expect(n).To(Equal(5))
			Expect(etcd.ListPage(ctx, client, keys, 0, 2)).To(HaveField("Kvs", HaveLen(2)))
			w, err := etcd.OpenWatch(ctx, client, keys, revision, etcd.WatchOptions{})
			Expect(err).NotTo(HaveOccurred())
			w.Close()
			Expect(etcd.Retry(ctx, client, func(ctx context.Context) error {
				_, err := client.Grant(ctx, 60)
				return err
			})).To(Succeed())
			// By now the member knows that it has no leader.
			Expect(etcd.Commit(ctx, client, nil, []clientv3.Op{clientv3.OpPut("/bad/0", "w")}, nil)).Error().NotTo(HaveOccurred())
		}
	}

	It("does no harm if it is cut off from the others", func(ctx SpecContext) {
		cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{Members: 3})
		leader, err := cluster.Leader(ctx)
		Expect(err).NotTo(HaveOccurred())
		for i := range 3 { // the leader last
			isolated := (leader + 1 + i) % 3
			cluster.Isolate(isolated)
			Expect(cluster.Leader(ctx)).NotTo(Equal(isolated))
			began := time.Now()
			mustWork(ctx, cluster.Client())
			Expect(time.Since(began)).To(BeNumerically("<", 30*time.Second))
			cluster.Heal()
			Expect(cluster.Leader(ctx)).Error().NotTo(HaveOccurred())
		}
	}, NodeTimeout(time.Minute))

	DescribeTable("does no harm", func(ctx SpecContext, answer func(context.Context) error) {
		client := newClient(func(cfg *clientv3.Config) {
			cfg.Endpoints = []string{newMember(answer), server.Endpoints()[0]}
		})
		mustWork(ctx, client)
	},
		Entry("if it is a learner", NodeTimeout(20*time.Second), func(context.Context) error { return rpctypes.ErrGRPCNotSupportedForLearner }),
		Entry("if it has no leader", NodeTimeout(20*time.Second), func(context.Context) error { return rpctypes.ErrGRPCNoLeader }),
	)

	It("delays reads by seconds if it hangs", func(ctx SpecContext) {
		put(ctx, "/hangs/a", "v")
		keys := etcd.PrefixRange("/hangs/")
		// The two wait at the same time, each with a client of its own. The balancer takes
		// turns: one of two requests goes to the bad member.
		var reads sync.WaitGroup
		for _, read := range []func(*clientv3.Client){
			func(client *clientv3.Client) {
				n := 0
				Expect(etcd.List(ctx, client, keys, 0, func(kvs []*mvccpb.KeyValue) error { n += len(kvs); return nil })).NotTo(BeZero())
				Expect(n).To(Equal(1))
			},
			func(client *clientv3.Client) {
				w, err := etcd.OpenWatch(ctx, client, keys, 1, etcd.WatchOptions{})
				Expect(err).NotTo(HaveOccurred())
				w.Close()
			},
		} {
			client := newClient(func(cfg *clientv3.Config) {
				cfg.Endpoints = []string{newMember(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }), server.Endpoints()[0]}
			})
			reads.Go(func() {
				defer GinkgoRecover()
				for range 2 {
					read(client)
				}
			})
		}
		reads.Wait()
	}, NodeTimeout(30*time.Second))
})
