package test

import (
	"os/exec"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"
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
	It("continues with its samples after a kill, and leaves them alone once they are complete", func() {
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
		Expect(string(third.Out.Contents())).NotTo(ContainSubstring("nginx configured"))
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
