package test

import (
	"os/exec"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

var _ = Describe("Every example with flags", func() {
	It("ends when etcd does not answer", func() {
		w := newWorld()
		const nowhere = "--endpoints=http://127.0.0.1:1"
		for _, session := range []*gexec.Session{ // they wait at the same time
			w.start(nowhere, "--wait", "-f", manifestFile(deploymentYAML("web:1", 1, ""))),
			w.watch(nowhere),
		} {
			Eventually(session).Should(gexec.Exit(1))
			Expect(session.Err).To(gbytes.Say(`etcd at http://127\.0\.0\.1:1 does not answer`))
		}
	})
})

var _ = Describe("The deployment-controller example", func() {
	It("continues with its samples after a kill, and leaves them alone once they are complete", func(ctx SpecContext) {
		dir := GinkgoT().TempDir()
		start := func(podStartDelay string) *gexec.Session {
			session, err := gexec.Start(exec.Command(deploymentController, "--data-dir="+dir, "--pod-start-delay="+podStartDelay), GinkgoWriter, GinkgoWriter)
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(func() { session.Kill().Wait(patience) })
			return session
		}
		first := start("1h")
		Eventually(first).Should(gbytes.Say("updated 3/3  ready 0/3"))
		first.Kill().Wait(patience)

		second := start("50ms")
		Eventually(second).Should(gbytes.Say("nginx configured"))
		Eventually(second).Should(gbytes.Say("Running until interrupted"))
		second.Kill().Wait(patience)

		third := start("50ms")
		Eventually(third).Should(gbytes.Say("Running until interrupted"))
		printed := string(third.Out.Contents())
		Expect(printed).NotTo(ContainSubstring("nginx configured"))

		By("serving the Kubernetes API at the address that it prints")
		line := regexp.MustCompile(`kubectl --server=(http://127\.0\.0\.1:\d+) get deploy`).FindStringSubmatch(printed)
		Expect(line).To(HaveLen(2), printed)
		client, err := kubernetes.NewForConfig(&rest.Config{Host: line[1]})
		Expect(err).NotTo(HaveOccurred())
		_, err = client.AppsV1().Deployments("default").Patch(ctx, "nginx", types.MergePatchType, []byte(`{"spec":{"replicas":4}}`), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())
		Eventually(third).Should(gbytes.Say("ready 4/4"))
	}, SpecTimeout(time.Minute))

	It("prints only problems if it is to be quiet", func(ctx SpecContext) {
		w := newWorld()
		session := w.start("--quiet", "--wait", "-f", manifestFile(deploymentYAML("web:1", 1, "")))
		Eventually(session).Should(gexec.Exit(0))
		Expect(string(session.Out.Contents()) + string(session.Err.Contents())).To(BeEmpty())
		Expect(podsOf(ctx, w)).To(HaveLen(1))
		failing := w.start("--quiet", "-f", manifestFile("kind: ["))
		Eventually(failing).Should(gexec.Exit(1))
		Expect(failing.Err).To(gbytes.Say("document 1: line 1: "))
	})

	It("shows all Deployments while it runs controllers, and otherwise only those it applies", func() {
		w := newWorld()
		w.succeed("--wait", "-f", manifestFile(deploymentYAML("web:1", 1, "")))
		runner := w.start()
		other := manifestFile(strings.ReplaceAll(deploymentYAML("other:1", 1, ""), "name: web,", "name: other,"))
		applier := w.start("--controllers=", "--wait", "-f", other)
		Eventually(applier).Should(gexec.Exit(0))
		Expect(string(applier.Out.Contents())).To(And(ContainSubstring("default/other"), Not(ContainSubstring("default/web"))))
		Eventually(runner).Should(gbytes.Say("default/web"))
		Eventually(runner).Should(gbytes.Say("default/other"))
	})
})
