package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// onUnary calls before each unary request with its method.
func onUnary(before func(method string)) func(*clientv3.Config) {
	return func(c *clientv3.Config) {
		c.DialOptions = append(c.DialOptions, grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string,
			req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			before(path.Base(method))
			return invoke(ctx, method, req, reply, cc, opts...)
		}))
	}
}

// withoutRangeStream makes the server look like one that cannot stream ranges.
func withoutRangeStream(c *clientv3.Config) {
	c.DialOptions = append(c.DialOptions, grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc,
		cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		if path.Base(method) == "RangeStream" {
			return nil, status.Error(codes.Unimplemented, "unknown method RangeStream")
		}
		return open(ctx, desc, cc, method, opts...)
	}))
}

var _ = Describe("A range of many keys", Ordered, func() {
	const many = 10_500 // more than a page
	var within etcd.Range

	BeforeAll(func(ctx SpecContext) {
		prefix := fmt.Sprintf("/many-%d/", GinkgoRandomSeed())
		within = etcd.PrefixRange(prefix)
		for i := 0; i < many; {
			var puts []clientv3.Op
			for ; len(puts) < 100; i++ {
				puts = append(puts, clientv3.OpPut(fmt.Sprintf("%s%05d", prefix, i), "v"))
			}
			Expect(server.Client().Txn(ctx).Then(puts...).Commit()).Error().NotTo(HaveOccurred())
		}
	})

	list := func(ctx SpecContext, client *clientv3.Client) (keys []string, rev int64) {
		GinkgoHelper()
		rev, err := etcd.List(ctx, client, within, 0, func(kvs []*mvccpb.KeyValue) error {
			for _, kv := range kvs {
				keys = append(keys, string(kv.Key))
			}
			return nil
		})
		Expect(err).NotTo(HaveOccurred())
		return keys, rev
	}

	complete := func(keys []string) {
		GinkgoHelper()
		Expect(keys).To(HaveLen(many))
		for i, key := range keys {
			if want := fmt.Sprintf("%s%05d", within.Start, i); key != want {
				Expect(key).To(Equal(want))
			}
		}
	}

	It("is listed as a stream", func(ctx SpecContext) {
		var requests atomic.Int64
		keys, _ := list(ctx, newClient(onUnary(func(string) { requests.Add(1) })))
		Expect(requests.Load()).To(BeEquivalentTo(1), "for the revision alone")
		complete(keys)
	})

	It("is listed in pages at one revision if the server cannot stream", func(ctx SpecContext) {
		var requests atomic.Int64
		keys, _ := list(ctx, newClient(withoutRangeStream, onUnary(func(string) {
			if requests.Add(1) == 3 { // between two pages
				put(ctx, within.Start+"99999", "later")
				DeferCleanup(func(ctx SpecContext) {
					Expect(server.Client().Delete(ctx, within.Start+"99999")).Error().NotTo(HaveOccurred())
				})
			}
		})))
		Expect(requests.Load()).To(BeEquivalentTo(3))
		complete(keys)
	})

	It("is listed without values, streamed or in pages", func(ctx SpecContext) {
		for _, client := range []*clientv3.Client{server.Client(), newClient(withoutRangeStream)} {
			var keys []string
			_, err := etcd.List(ctx, client, within, 0, func(kvs []*mvccpb.KeyValue) error {
				for _, kv := range kvs {
					keys = append(keys, string(kv.Key))
					Expect(kv.Value).To(BeEmpty())
					Expect(kv.ModRevision).NotTo(BeZero())
				}
				return nil
			}, clientv3.WithKeysOnly())
			Expect(err).NotTo(HaveOccurred())
			complete(keys)
		}
	})

	It("is read page by page", func(ctx SpecContext) {
		first, err := etcd.ListPage(ctx, server.Client(), within, 0, 2)
		Expect(err).NotTo(HaveOccurred())
		Expect(first.Kvs).To(HaveLen(2))
		Expect(first.More).To(BeTrue())
		Expect(first.Count).To(BeEquivalentTo(many))
		_, err = etcd.ListPage(ctx, server.Client(), within, first.Header.Revision+1000, 2)
		Expect(err).To(MatchError(apierrors.IsTimeout, "Timeout"))
		Expect(err).To(MatchError(ContainSubstring("list " + within.Start)))
	})

	It("allows reads of single keys at one revision", func(ctx SpecContext) {
		_, rev := list(ctx, server.Client())
		key := func(i int) string { return fmt.Sprintf("%s%05d", within.Start, i) }
		keys := []string{key(7), within.Start + "none", key(3)}
		for i := range etcd.MaxGetKeys - len(keys) {
			keys = append(keys, key(100+i))
		}
		kvs, err := etcd.Get(ctx, server.Client(), keys, rev)
		Expect(err).NotTo(HaveOccurred())
		Expect(kvs).To(HaveLen(etcd.MaxGetKeys - 1))
		Expect(string(kvs[0].Key) + " " + string(kvs[1].Key)).To(Equal(key(7) + " " + key(3)))
		Expect(string(kvs[0].Value)).To(Equal("v"))

		Expect(etcd.Get(ctx, server.Client(), nil, rev)).To(BeEmpty())
		_, err = etcd.Get(ctx, server.Client(), append(keys, key(1)), rev)
		Expect(apierrors.IsRequestEntityTooLargeError(err)).To(BeTrue())
		_, err = etcd.Get(ctx, server.Client(), keys, rev+1000)
		Expect(err).To(MatchError(ContainSubstring("read 128 keys from " + key(7))))
	})

	It("stops with the caller's error, and leaves nothing running", func(ctx SpecContext) {
		stop := errors.New("stop")
		_, err := etcd.List(ctx, server.Client(), within, 0, func([]*mvccpb.KeyValue) error { return stop })
		Expect(err).To(BeIdenticalTo(stop))
	})
})

var _ = Describe("List", func() {
	none := func([]*mvccpb.KeyValue) error { return nil }

	It("fails at a compacted revision, streamed or in pages", func(ctx SpecContext) {
		old := put(ctx, "/compacted/a", "1")
		now := put(ctx, "/compacted/a", "2")
		Expect(server.Client().Compact(ctx, now)).Error().NotTo(HaveOccurred())
		for _, client := range []*clientv3.Client{server.Client(), newClient(withoutRangeStream)} {
			_, err := etcd.List(ctx, client, etcd.PrefixRange("/compacted/"), old, none)
			Expect(err).To(MatchError(apierrors.IsResourceExpired, "ResourceExpired"))
			Expect(errors.Is(err, rpctypes.ErrCompacted)).To(BeTrue())
		}
	})

	It("refuses a negative revision", func(ctx SpecContext) {
		Expect(etcd.List(ctx, server.Client(), etcd.PrefixRange("/"), -1, none)).Error().To(MatchError(ContainSubstring("negative")))
	})
})

var _ = Describe("CurrentRevision", func() {
	It("is the revision of the last write", func(ctx SpecContext) {
		rev := put(ctx, "/current", "x")
		Expect(etcd.CurrentRevision(ctx, server.Client(), etcd.PrefixRange("/elsewhere/"))).To(Equal(rev))
	})
})
