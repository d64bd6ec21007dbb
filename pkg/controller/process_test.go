//go:build unix

package controller_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// childEnv names the environment variable with which this test binary starts itself as
// a candidate that can be suspended and killed. It has the arguments.
const childEnv = "CONTROLLER_TEST_CHILD"

func TestMain(m *testing.M) {
	var mode, endpoint, prefix, identity string
	var lease time.Duration
	if _, err := fmt.Sscan(os.Getenv(childEnv), &mode, &endpoint, &prefix, &identity, (*int64)(&lease)); err != nil {
		os.Exit(m.Run())
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // ends with the parent, whatever happens to it
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := beChild(ctx, mode, endpoint, prefix, identity, lease); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func beChild(ctx context.Context, mode, endpoint, prefix, identity string, lease time.Duration) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	o := controller.ManagerOptions{}
	switch mode {
	case "lead":
		o.Leadership = &controller.Leadership{Name: leadershipName, Identity: identity, LeaseTime: lease}
	case "share":
		o.Sharding = &controller.Sharding{Name: shardingName, Identity: identity, LeaseTime: lease, Buckets: buckets}
	default:
		return fmt.Errorf("mode %q", mode)
	}
	c, err := newCandidate(client, prefix, o)
	if err != nil {
		return err
	}
	c.heedless = true // what is late is refused by etcd, or by nobody
	return c.Run(ctx)
}

// child is such a process.
type child struct {
	identity string
	cmd      *exec.Cmd
	stdin    io.Closer
}

func startChild(mode, prefix, identity string, cluster *etcdtest.Cluster, lease time.Duration) *child {
	GinkgoHelper()
	self, err := os.Executable()
	Expect(err).NotTo(HaveOccurred())
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %s %d", childEnv, mode, cluster.Member(0).Endpoint(), prefix, identity, lease))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	Expect(err).NotTo(HaveOccurred())
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func() {
		_ = cmd.Process.Kill() // has ended already unless the spec failed
		_ = cmd.Wait()
	})
	return &child{identity, cmd, stdin}
}

// suspend stops the process, and returns once it has stopped.
func (c *child) suspend() {
	GinkgoHelper()
	Expect(c.cmd.Process.Signal(syscall.SIGSTOP)).To(Succeed())
	var status syscall.WaitStatus
	_, err := syscall.Wait4(c.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
	Expect(err).NotTo(HaveOccurred())
	Expect(status.Stopped()).To(BeTrue())
}

func (c *child) goOn() {
	GinkgoHelper()
	Expect(c.cmd.Process.Signal(syscall.SIGCONT)).To(Succeed())
}

func (c *child) kill() {
	GinkgoHelper()
	Expect(c.cmd.Process.Kill()).To(Succeed())
	_ = c.cmd.Wait()
}

// stop makes the process end normally.
func (c *child) stop() {
	GinkgoHelper()
	Expect(c.stdin.Close()).To(Succeed())
	Expect(c.cmd.Wait()).To(Succeed())
}

var _ = Describe("Processes", func() {
	// leader waits until another leads than those that cannot, with 10 writes.
	leader := func(ctx context.Context, c *contest, not ...string) (identity string) {
		GinkgoHelper()
		Eventually(func() int {
			for l, err := range controller.Leaders(ctx, c.store, leadershipName) {
				Expect(err).NotTo(HaveOccurred())
				identity = l.Identity
				if slices.Contains(not, identity) {
					return 0
				}
				return c.verify(ctx)[l.Revision]
			}
			return 0
		}).WithTimeout(time.Minute).WithPolling(100 * time.Millisecond).Should(BeNumerically(">=", 10))
		return identity
	}

	It("that compete or share write only what is theirs, though one is suspended past its lease, one is killed, and one stops", func(ctx SpecContext) {
		sideBySide(func() { competing(ctx, leader) }, func() { sharing(ctx) })
	}, SpecTimeout(5*time.Minute))
})

// competing lets three processes compete for a leadership. They write one after the other.
func competing(ctx context.Context, leader func(ctx context.Context, c *contest, not ...string) string) {
	GinkgoHelper()
	cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
	c := newContest(ctx, cluster, briefly)
	children := map[string]*child{}
	for _, name := range []string{"x", "y", "z"} {
		children[name] = startChild("lead", c.store.Prefix(), name, cluster, c.leaseTime)
	}
	first := leader(ctx, c)
	children[first].suspend()
	second := leader(ctx, c, first)
	children[first].goOn()
	children[second].kill()
	delete(children, second)
	third := leader(ctx, c, second)
	children[third].suspend()
	fourth := leader(ctx, c, second, third)
	children[third].goOn()
	children[fourth].stop()
	delete(children, fourth)
	Expect(leader(ctx, c, second, fourth)).To(Equal(third))
	children[third].stop()
	Expect(len(c.verify(ctx))).To(BeNumerically(">=", 4))
}

// sharing lets three processes share keys. They never write each other's.
func sharing(ctx context.Context) {
	GinkgoHelper()
	cluster := etcdtest.Start(GinkgoTB(), etcdtest.Options{})
	c := newSharing(ctx, cluster, briefly)
	x := startChild("share", c.store.Prefix(), "x", cluster, c.leaseTime)
	y := startChild("share", c.store.Prefix(), "y", cluster, c.leaseTime)
	z := startChild("share", c.store.Prefix(), "z", cluster, c.leaseTime)
	c.settled(ctx, "x", "y", "z")
	x.suspend()
	c.settled(ctx, "y", "z")
	x.goOn() // what it was about to write is late
	c.settled(ctx, "x", "y", "z")
	y.kill()
	c.settled(ctx, "x", "z")
	z.stop()
	c.settled(ctx, "x")
	x.stop()
	Expect(c.verifySharing(ctx).owners).To(BeEmpty())
}
