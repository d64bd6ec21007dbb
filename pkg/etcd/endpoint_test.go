package etcd_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/homeostat/homeostat/pkg/etcd"
)

var _ = DescribeTable("RedactEndpoints removes secrets", func(endpoint, want string) {
	Expect(etcd.RedactEndpoints(endpoint)).To(Equal([]string{want}))
},
	Entry("an address", "127.0.0.1:2379", "127.0.0.1:2379"),
	Entry("a URL", "https://etcd-0:2379", "https://etcd-0:2379"),
	Entry("a password", "https://me:pw@etcd-0:2379", "https://redacted@etcd-0:2379"),
	Entry("a user alone", "https://token@etcd-0:2379", "https://redacted@etcd-0:2379"),
	Entry("a password without a scheme", "me:pw@etcd-0:2379", "redacted@etcd-0:2379"),
	Entry("a password that is not escaped", "http://me:p@/?#%zz@etcd-0:2379", "http://redacted@etcd-0:2379"),
	Entry("a query", "http://etcd-0:2379/?password=pw", "http://etcd-0:2379/?redacted"),
	Entry("a socket", "unix:///run/a@b?.sock", "unix:///run/a@b?.sock"),
	Entry("an abstract socket", "unix:@etcd", "unix:@etcd"),
)
