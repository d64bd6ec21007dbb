package controller_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// journal records what happens, in order.
type journal[T comparable] struct {
	mu      sync.Mutex
	entries []T
}

func (j *journal[T]) note(entry T) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry)
}

func (j *journal[T]) all() []T {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

func (j *journal[T]) len() int { return len(j.all()) }

// sideBySide runs functions at the same time and waits for all. They mostly wait, such as
// for leases to expire, and each has data of its own.
func sideBySide(functions ...func()) {
	var running sync.WaitGroup
	for _, f := range functions {
		running.Go(func() {
			defer GinkgoRecover()
			f()
		})
	}
	running.Wait()
}

// names is a reconciler that records the names of its keys.
type names struct{ journal[string] }

func (n *names) Reconcile(_ context.Context, r controller.Request) (controller.Result, error) {
	n.note(r.Name)
	return controller.Result{}, nil
}

// logbook is a log that can be read.
type logbook struct{ journal[string] }

func (l *logbook) logger() logr.Logger {
	return funcr.New(func(prefix, args string) { l.note(prefix + " " + args) }, funcr.Options{Verbosity: 2})
}

func (l *logbook) with(text string) []string {
	return slices.DeleteFunc(l.all(), func(line string) bool { return !strings.Contains(line, text) })
}

// hastyClock is the system's clock, but pauses from a minute to less than a day pass
// at once, and are recorded.
type hastyClock struct {
	clock.RealClock
	pauses journal[time.Duration]
	ahead  atomic.Int64 // of the system's clock, in ns: the pauses of timers that passed
}

func (c *hastyClock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *hastyClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func (c *hastyClock) NewTimer(d time.Duration) clock.Timer {
	if pause := d.Round(time.Second); pause >= time.Minute && pause < 24*time.Hour {
		c.pauses.note(pause)
		c.ahead.Add(int64(d))
		d = 0
	}
	return c.RealClock.NewTimer(d)
}

func (c *hastyClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	if d < time.Minute {
		return c.RealClock.AfterFunc(d, f)
	}
	c.pauses.note(d)
	return c.RealClock.AfterFunc(0, f)
}

// faults can delay a client's watches and lose the answers to its requests.
type faults struct {
	client *clientv3.Client

	mu   sync.Mutex
	held *held
	lose map[string]int // how many answers, by method
}

// held is the time for which watches are delayed.
type held struct {
	over chan struct{} // closed when it ends
	lost bool          // the delayed responses are dropped, and the watches end
}

// newFaulty returns a client of the spec's own that suffers faults on demand. It
// connects to the endpoints, or to all members if there are none.
func newFaulty(cluster *etcdtest.Cluster, endpoints ...string) *faults {
	GinkgoHelper()
	f := &faults{lose: map[string]int{}}
	client, err := cluster.NewClient(etcdtest.ClientOptions{Endpoints: endpoints, Configure: func(cfg *clientv3.Config) {
		cfg.DialOptions = append(cfg.DialOptions,
			grpc.WithChainStreamInterceptor(f.stream), grpc.WithChainUnaryInterceptor(f.unary))
	}})
	Expect(err).NotTo(HaveOccurred())
	f.client = client
	DeferCleanup(func() { f.release(); _ = client.Close() })
	return f
}

// hold delays the responses of the replicas' watches until release. Watches of
// leaderships and shardings are not affected.
func (f *faults) hold() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held == nil {
		f.held = &held{over: make(chan struct{})}
	}
}

// release delivers the delayed responses.
func (f *faults) release() { f.end(false) }

// drop drops the delayed responses and breaks the watches.
func (f *faults) drop() { f.end(true) }

func (f *faults) end(lost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held != nil {
		f.held.lost = lost
		close(f.held.over)
		f.held = nil
	}
}

// loseAnswers loses the answers to the next n requests of a method, after etcd has
// executed them.
func (f *faults) loseAnswers(method string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lose["/etcdserverpb.KV/"+method] = n
}

func (f *faults) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, cc, opts...)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lose[method] > 0 {
		f.lose[method]--
		return status.Error(codes.Internal, fmt.Sprintf("the answer to %s got lost", method))
	}
	return err
}

func (f *faults) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := open(ctx, desc, cc, method, opts...)
	if err != nil || !strings.HasSuffix(method, "/Watch") {
		return s, err
	}
	return &heldStream{ClientStream: s, faults: f}, nil
}

// heldStream is a watch's stream that can be delayed.
type heldStream struct {
	grpc.ClientStream
	faults *faults

	coordination atomic.Bool // it watches the keys of a leadership or a sharding
}

func (s *heldStream) SendMsg(m any) error {
	if req, ok := m.(*pb.WatchRequest); ok && strings.HasPrefix(string(req.GetCreateRequest().GetKey()), "/homeostat/") {
		s.coordination.Store(true)
	}
	return s.ClientStream.SendMsg(m)
}

func (s *heldStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	s.faults.mu.Lock()
	held := s.faults.held
	s.faults.mu.Unlock()
	if held == nil || s.coordination.Load() {
		return err
	}
	select {
	case <-held.over:
	case <-s.Context().Done():
		return s.Context().Err()
	}
	if held.lost {
		return status.Error(codes.Unavailable, "the watch got lost")
	}
	return err
}
