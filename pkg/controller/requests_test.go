package controller_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// requests counts what a client sends to etcd, by method.
type requests struct {
	mu   sync.Mutex
	sent map[string]int
}

func (r *requests) note(method string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent[method[strings.LastIndex(method, "/")+1:]]++
}

// take returns the requests sent since the last call.
func (r *requests) take() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := maps.Clone(r.sent)
	clear(r.sent)
	return sent
}

func (r *requests) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	r.note(method)
	return invoke(ctx, method, req, reply, cc, opts...)
}

func (r *requests) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := open(ctx, desc, cc, method, opts...)
	return &countedStream{s, r, method}, err
}

type countedStream struct {
	grpc.ClientStream
	requests *requests
	method   string
}

func (s *countedStream) SendMsg(m any) error {
	s.requests.note(s.method)
	return s.ClientStream.SendMsg(m)
}

var _ = Describe("The requests to etcd", func() {
	const objects = 20
	var (
		m     *controller.Manager
		sent  *requests
		calls names
	)

	// The clock stands still, so that no request is due to the passing of time. Several
	// reconciles at once would need fewer requests if their writes went together.
	BeforeEach(func() {
		sent = &requests{sent: map[string]int{}}
		calls = names{}
		client, err := etcd.NewClient(etcdtest.ClientOptions{Configure: func(cfg *clientv3.Config) {
			cfg.DialOptions = append(cfg.DialOptions, grpc.WithChainUnaryInterceptor(sent.unary), grpc.WithChainStreamInterceptor(sent.stream))
		}})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(client.Close)
		m = newManagerOn(newStore(client, func(o *store.Options) { o.Ungrouped = true }), controller.ManagerOptions{Clock: clocktesting.NewFakeClock(time.Now())})
	})

	// watched counts the requests while objects are created and each is reconciled so
	// many times.
	watched := func(ctx context.Context, times int) map[string]int {
		GinkgoHelper()
		run(m)
		Expect(m.Replica().WaitForSync(ctx)).To(Succeed())
		other := newStoreAt(etcd.Client(), m.Store().Prefix()) // what it sends does not count
		create(ctx, other, newSite("first", 1))                // the watch is there once this is seen
		Eventually(calls.len).Should(Equal(times))
		sent.take()
		for i := range objects {
			create(ctx, other, newSite(fmt.Sprint("s", i), 1))
		}
		Eventually(calls.len).Should(Equal(times + times*objects))
		return sent.take()
	}

	It("a reconcile that changes nothing costs no request", func(ctx SpecContext) {
		Expect(controller.NewFor[*Site](m, "c", &calls, controller.Options{Workers: 4})).Error().To(Succeed())
		Expect(watched(ctx, 1)).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("a reconcile that writes a status costs one, and the next that sees it none", func(ctx SpecContext) {
		sites, err := informer.For[*Site](m.Replica())
		Expect(err).NotTo(HaveOccurred())
		Expect(controller.NewFor[*Site](m, "c", controller.ReconcilerFunc[controller.Request](
			func(ctx context.Context, r controller.Request) (controller.Result, error) {
				defer calls.note(r.Name)
				site, ok := sites.Get(m.Replica().Snapshot(), r.Key)
				if !ok || site.Status.Ready == 1 {
					return controller.Result{}, nil
				}
				site = site.DeepCopy()
				site.Status.Ready = 1
				_, err := m.Store().UpdateStatus(ctx, site)
				return controller.Result{}, err
			}), controller.Options{Workers: 4})).Error().To(Succeed())
		Expect(watched(ctx, 2)).To(Equal(map[string]int{"Txn": objects}))
	}, SpecTimeout(time.Minute))

	It("a transactional reconcile costs one, however much it writes", func(ctx SpecContext) {
		Expect(controller.New(m, "c", func(_ context.Context, tx *controller.Tx, site *Site) (controller.Result, error) {
			defer calls.note(site.Name)
			if site.Status.Ready == 1 {
				return controller.Result{}, nil
			}
			child := newConfigMap(site.Name)
			if err := tx.Own(site, child); err != nil {
				return controller.Result{}, err
			}
			tx.Create(child)
			site.Status.Ready = 1
			tx.UpdateStatus(site)
			return controller.Result{}, nil
		}, controller.Options{Workers: 4})).Error().To(Succeed())
		Expect(watched(ctx, 2)).To(Equal(map[string]int{"Txn": objects}))
	}, SpecTimeout(time.Minute))
})
