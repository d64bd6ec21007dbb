package informer_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// etcd serves the whole suite; each spec works below a prefix of its own.
var etcd *etcdtest.Cluster

var _ = BeforeSuite(func() {
	etcdtest.VerifyNoLeaks(GinkgoTB())
	etcd = etcdtest.Start(GinkgoTB())
})

func TestInformer(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "informer")
}
