package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/etcd"
)

var _ = Describe("Watch", func() {
	open := func(ctx context.Context, r etcd.Range, from int64, o etcd.WatchOptions) *etcd.Watch {
		GinkgoHelper()
		w, err := etcd.OpenWatch(ctx, server.Client(), r, from, o)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(w.Close)
		return w
	}

	It("delivers changes with the previous values on request", func(ctx SpecContext) {
		put(ctx, "/previous/a", "1")
		from := put(ctx, "/previous/a", "2")
		Expect(server.Client().Delete(ctx, "/previous/a")).Error().NotTo(HaveOccurred())
		for _, previous := range []bool{false, true} {
			w := open(ctx, etcd.KeyRange("/previous/a"), from, etcd.WatchOptions{PreviousValues: previous})
			Expect(w.Created).To(BeNumerically(">", from))
			var got []string
			for len(got) < 2 {
				resp, ok := <-w.Responses
				Expect(etcd.WatchError(resp, ok)).To(Succeed())
				for _, ev := range resp.Events {
					got = append(got, string(ev.PrevKv.GetValue())+">"+string(ev.Kv.Value))
				}
			}
			if previous {
				Expect(got).To(Equal([]string{"1>2", "2>"}))
			} else {
				Expect(got).To(Equal([]string{">2", ">"}))
			}
		}
	})

	It("reports its progress on request", func(ctx SpecContext) {
		rev := put(ctx, "/progress/a", "x")
		w := open(ctx, etcd.PrefixRange("/progress/"), rev, etcd.WatchOptions{})
		Expect((<-w.Responses).Events).To(HaveLen(1))
		elsewhere := put(ctx, "/elsewhere", "x")
		Eventually(func(g Gomega) {
			g.Expect(w.RequestProgress()).To(Succeed())
			resp := <-w.Responses
			g.Expect(resp.IsProgressNotify()).To(BeTrue())
			g.Expect(resp.Header.Revision).To(BeNumerically(">=", elsewhere))
		}).Should(Succeed())
	})

	It("ends when OnReceive returns an error", func(ctx SpecContext) {
		rev := put(ctx, "/received/a", "x")
		w := open(ctx, etcd.PrefixRange("/received/"), rev, etcd.WatchOptions{OnReceive: func(resp *pb.WatchResponse) error {
			if len(resp.Events) > 0 {
				return errors.New("too much")
			}
			return nil
		}})
		var err error
		for err == nil {
			resp, ok := <-w.Responses
			err = etcd.WatchError(resp, ok)
		}
		Expect(w.Explain(err)).To(MatchError(ContainSubstring("too much")))
	})

	It("names the oldest revision left if changes are compacted", func(ctx SpecContext) {
		from := put(ctx, "/compacted/b", "1")
		now := put(ctx, "/compacted/b", "2")
		Expect(server.Client().Compact(ctx, now)).Error().NotTo(HaveOccurred())
		w := open(ctx, etcd.PrefixRange("/compacted/"), from, etcd.WatchOptions{})
		resp, ok := <-w.Responses
		err := etcd.WatchError(resp, ok)
		var compacted *etcd.CompactedError
		Expect(errors.As(err, &compacted)).To(BeTrue(), fmt.Sprint(err))
		Expect(compacted.Revision).To(Equal(now))
		Expect(err).To(MatchError(apierrors.IsResourceExpired, "ResourceExpired"))
	})

	It("ends with its connection", func(ctx SpecContext) {
		link, err := server.Member(0).NewLink()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(link.Close)
		w, err := etcd.OpenWatch(ctx, newClient(to(link)), etcd.PrefixRange("/"), put(ctx, "/x", "x")+1, etcd.WatchOptions{})
		Expect(err).NotTo(HaveOccurred())
		defer w.Close()
		link.Cut()
		resp, ok := <-w.Responses
		err = w.Explain(etcd.WatchError(resp, ok))
		Expect(etcd.Resumable(err)).To(BeTrue(), fmt.Sprint(err))
	})

	It("refuses revision 0", func(ctx SpecContext) {
		_, err := etcd.OpenWatch(ctx, server.Client(), etcd.PrefixRange("/"), 0, etcd.WatchOptions{})
		Expect(err).To(MatchError(ContainSubstring("above 0")))
	})

	It("leaves nothing behind in the client, however often etcd does not answer", func(ctx SpecContext) {
		link, err := server.Member(0).NewLink()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(link.Close)
		client := newClient(to(link))
		Expect(etcd.CurrentRevision(ctx, client, etcd.KeyRange("/"))).Error().NotTo(HaveOccurred())
		for _, fault := range []func(){link.Freeze, link.Cut} {
			fault()
			for range 5 {
				bounded, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
				_, err := etcd.OpenWatch(bounded, client, etcd.PrefixRange("/"), 1, etcd.WatchOptions{})
				Expect(err).To(HaveOccurred())
				cancel()
			}
			Eventually(watchStreams).Should(BeZero())
		}
	})
})

// watchStreams counts the watch streams of all clients in this process.
func watchStreams() int {
	stacks := make([]byte, 8<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "(*watchGRPCStream).run(")
}

var _ = DescribeTable("Resumable", func(err error, resumable bool) {
	Expect(etcd.Resumable(err)).To(Equal(resumable))
	Expect(etcd.Resumable(fmt.Errorf("wrapped: %w", err))).To(Equal(resumable))
},
	Entry("closed without a reason", etcd.ErrWatchClosed, true),
	Entry("no leader", rpctypes.ErrNoLeader, true),
	Entry("a connection is lost", rpctypes.ErrGRPCStopped, true),
	Entry("a stream is not replaced", status.Error(codes.Aborted, "lost"), true),
	Entry("compacted", etcd.WatchError(clientv3.WatchResponse{CompactRevision: 5}, true), false),
	Entry("permission denied", rpctypes.ErrPermissionDenied, false),
)
