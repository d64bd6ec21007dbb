package etcd_test

import (
	"context"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// server serves the whole suite. Each spec uses a prefix of its own.
var server *etcdtest.Cluster

var _ = BeforeSuite(func() {
	etcdtest.VerifyNoLeaks(GinkgoTB())
	server = etcdtest.Start(GinkgoTB(), etcdtest.Options{})
})

var _ = BeforeEach(func() { etcdtest.VerifyNoLeaks(GinkgoTB()) })

func TestEtcd(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "etcd")
}

// newClient returns a client that is closed when the spec ends.
func newClient(configure ...func(*clientv3.Config)) *clientv3.Client {
	GinkgoHelper()
	client, err := server.NewClient(etcdtest.ClientOptions{Configure: func(cfg *clientv3.Config) {
		for _, f := range configure {
			f(cfg)
		}
	}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(client.Close)
	return client
}

// to makes a client connect through a link.
func to(link *etcdtest.Link) func(*clientv3.Config) {
	return func(cfg *clientv3.Config) { cfg.Endpoints = []string{link.Endpoint()} }
}

// put writes a key and returns the revision of the write.
func put(ctx context.Context, key, value string) int64 {
	GinkgoHelper()
	resp, err := server.Client().Put(ctx, key, value)
	Expect(err).NotTo(HaveOccurred())
	return resp.Header.Revision
}
