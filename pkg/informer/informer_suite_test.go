package informer_test

import (
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// etcd serves the whole suite; each spec works below a prefix of its own. Specs
// that do something to its members have a cluster of their own.
var etcd *etcdtest.Cluster

var _ = BeforeSuite(func() {
	etcd = etcdtest.Start(GinkgoTB(), etcdtest.Options{})
})

var _ = BeforeEach(func() {
	etcdtest.VerifyNoLeaks(GinkgoTB())
})

func TestInformer(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(specTimeout)
	RunSpecs(t, "informer")
}

// soakLength returns the length of a spec with the label soak: the short one, or
// the full one if HOMEOSTAT_SOAK is set.
func soakLength(short, full int) int {
	if os.Getenv("HOMEOSTAT_SOAK") != "" {
		return full
	}
	return short
}
