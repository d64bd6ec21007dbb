//go:build unix

package test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/homeostat/homeostat/pkg/controller"
)

// crashEnv has the arguments of a child process. This test binary starts itself to run
// the controllers that the test kills.
const crashEnv = "HOMEOSTAT_TEST_CRASH_PROCESS"

// upgradeEnv has those of a process of the upgrade test: a program and an endpoint.
const upgradeEnv = "HOMEOSTAT_TEST_UPGRADE_PROCESS"

// crashLease is etcd's shortest lease time.
const crashLease = 2 * time.Second

// heedsSignals is the line that a process prints once it handles signals.
const heedsSignals = "heeds signals"

func TestMain(m *testing.M) {
	var mode, program, endpoint, identity string
	var run func(ctx context.Context) error
	if _, err := fmt.Sscan(os.Getenv(crashEnv), &mode, &endpoint, &identity); err == nil {
		run = func(ctx context.Context) error { return runCrashProcess(ctx, crashModes[mode], endpoint, identity) }
	} else if _, err := fmt.Sscan(os.Getenv(upgradeEnv), &program, &endpoint); err == nil {
		run = func(ctx context.Context) error { return runUpgradeProcess(ctx, program, endpoint) }
	} else {
		os.Exit(m.Run())
	}
	ctx, cancel := context.WithCancel(controller.SignalContext())
	fmt.Println(heedsSignals)
	go func() { // ends this process with its parent
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, program, identity, "failed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// crashModes are the ways in which the processes share the work.
var crashModes = map[string]func(identity string) controller.ManagerOptions{
	"leadership": func(identity string) controller.ManagerOptions {
		return controller.ManagerOptions{
			Leadership: &controller.Leadership{Name: "crash", Identity: identity, LeaseTime: crashLease},
		}
	},
	"sharding": func(identity string) controller.ManagerOptions {
		return controller.ManagerOptions{
			// For the garbage collector, whose keys are not sharded.
			Leadership: &controller.Leadership{Name: "crash", Identity: identity, LeaseTime: crashLease},
			Sharding:   &controller.Sharding{Name: "crash", Identity: identity, LeaseTime: crashLease, Buckets: 64},
		}
	},
}

func runCrashProcess(ctx context.Context, options func(string) controller.ManagerOptions, endpoint, identity string) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	s, err := newCrashStore(client)
	if err != nil {
		return err
	}
	o := options(identity)
	o.Log = funcr.New(func(prefix, args string) { fmt.Fprintln(os.Stderr, identity, prefix, args) }, funcr.Options{})
	m, err := controller.NewManager(s, o)
	if err != nil {
		return err
	}
	if err := addCrashControllers(m); err != nil {
		return err
	}
	defer func() { fmt.Fprintln(os.Stderr, identity, "had late writes rejected:", m.FencedWrites()) }()
	return m.Run(ctx)
}

// process is a child process with the controllers.
type process struct {
	session   *gexec.Session
	identity  string
	suspended bool
}

func startProcess(mode, endpoint, identity string) *process {
	GinkgoHelper()
	return startChild(fmt.Sprintf("%s=%s %s %s", crashEnv, mode, endpoint, identity), identity)
}

// startChild starts this test binary with a variable that says what it runs.
func startChild(env, identity string) *process {
	GinkgoHelper()
	self, err := os.Executable()
	Expect(err).NotTo(HaveOccurred())
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), env)
	_, err = cmd.StdinPipe()
	Expect(err).NotTo(HaveOccurred())
	session, err := gexec.Start(cmd, GinkgoWriter, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { session.Kill().Wait(patience) })
	return &process{session: session, identity: identity}
}

func (p *process) kill() {
	GinkgoHelper()
	p.session.Kill().Wait(patience)
}

// terminate asks the process to end and expects exit status 0.
func (p *process) terminate() {
	GinkgoHelper()
	Eventually(p.session).Should(gbytes.Say(heedsSignals))
	Eventually(p.session.Terminate()).Should(gexec.Exit(0), "%s", p.identity)
}

// suspend stops the process, and returns once it has stopped.
func (p *process) suspend() {
	GinkgoHelper()
	p.session.Signal(syscall.SIGSTOP)
	var status syscall.WaitStatus
	_, err := syscall.Wait4(p.session.Command.Process.Pid, &status, syscall.WUNTRACED, nil)
	Expect(err).NotTo(HaveOccurred())
	Expect(status.Stopped()).To(BeTrue(), "%s: %v", p.identity, status)
	p.suspended = true
}

func (p *process) resume() {
	p.session.Signal(syscall.SIGCONT)
	p.suspended = false
}
