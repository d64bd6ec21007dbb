package etcdtest_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"testing"

	"github.com/onsi/ginkgo/v2"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// A program runs an etcd that keeps its data for the next run.
func ExampleRun() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	run := func(use func(*etcdtest.Cluster)) {
		cluster, err := etcdtest.Run(ctx, etcdtest.Options{DataDir: dir, Fsync: true})
		if err != nil {
			log.Fatal(err)
		}
		defer cluster.Close()
		use(cluster)
	}
	run(func(c *etcdtest.Cluster) {
		if _, err := c.Client().Put(ctx, "greeting", "hello"); err != nil {
			log.Fatal(err)
		}
	})
	run(func(c *etcdtest.Cluster) {
		got, err := c.Client().Get(ctx, "greeting")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s at revision %d\n", got.Kvs[0].Value, got.Kvs[0].ModRevision)
	})
	// Output: hello at revision 2
}

// A test starts three members and loses one.
func ExampleStart() {
	_ = func(t *testing.T) {
		etcdtest.VerifyNoLeaks(t)
		cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
		if err := cluster.Member(2).Stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := cluster.Client().Put(t.Context(), "still", "writable"); err != nil {
			t.Fatal(err)
		}
	}
}

// A test runs a function, such as a manager's Run, until the test ends.
func ExampleBackground() {
	_ = func(t *testing.T) {
		client := etcdtest.Start(t, etcdtest.Options{}).Client()
		etcdtest.Background(t, func(ctx context.Context) error {
			for range client.Watch(ctx, "key") {
				fmt.Println("the key has changed")
			}
			return nil
		})
		if _, err := client.Put(t.Context(), "key", "value"); err != nil {
			t.Fatal(err)
		}
	}
}

// A Ginkgo suite shares one cluster and checks every spec for leaks.
func ExampleVerifyNoLeaks() {
	var cluster *etcdtest.Cluster

	ginkgo.BeforeSuite(func() {
		cluster = etcdtest.Start(ginkgo.GinkgoT(), etcdtest.Options{})
	})
	ginkgo.BeforeEach(func() {
		etcdtest.VerifyNoLeaks(ginkgo.GinkgoT())
	})
	ginkgo.It("stores", func(ctx ginkgo.SpecContext) {
		_, err := cluster.Client().Put(ctx, "key", "value")
		if err != nil {
			ginkgo.Fail(err.Error())
		}
	})
}
