package test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"
)

var _ = Describe("Bad input to the deployment-controller example", func() {
	It("is reported with file, document and field, and does not keep the rest from being applied", func(ctx SpecContext) {
		w := newWorld()
		mismatch := strings.Replace(deploymentYAML("web:1", 1, ""), "metadata: {labels: {app: web}}", "metadata: {labels: {app: other}}", 1)
		path := manifestFile(strings.Join([]string{
			"apiVersion: example.com/v1\nkind: Unheard\nmetadata: {name: x}\n",
			"kind: [\n",
			strings.Replace(deploymentYAML("web:1", 1, ""), "name: web, namespace", "namespace", 1),
			strings.Replace(mismatch, "name: web", "name: mismatch", 1),
			deploymentYAML("web:1", 2, ""),
		}, "---\n"))
		session := w.start("--wait", "-f", path)
		Eventually(session).Should(gexec.Exit(1))
		errors := string(session.Err.Contents())
		Expect(errors).To(MatchRegexp(`manifest\.yaml: document 1: .*Unheard`))
		Expect(errors).To(MatchRegexp(`manifest\.yaml: document 2: `))
		Expect(errors).To(MatchRegexp(`manifest\.yaml: document 3: metadata\.name`))
		Expect(errors).To(MatchRegexp(`manifest\.yaml: document 4: .*spec\.template\.metadata\.labels`))
		Expect(deploymentsOf(ctx, w)).To(HaveExactElements(HaveField("Name", "web")))
		Expect(podsOf(ctx, w)).To(HaveLen(2))
	}, SpecTimeout(2*patience))

	It("may be a kind without a controller, which is stored with a warning", func(ctx SpecContext) {
		w := newWorld()
		session := w.start("--wait", "-f", manifestFile("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\n"+deploymentYAML("web:1", 1, "")))
		Eventually(session).Should(gexec.Exit(0))
		Expect(session.Out).To(gbytes.Say("configmaps/c created"))
		Expect(string(session.Err.Contents())).To(And(
			ContainSubstring("configmaps/c is only stored: no controller here acts on a ConfigMap\n"),
			Not(ContainSubstring("deployments.apps/web"))))
	}, SpecTimeout(2*patience))

	It("ends the program if it is on the command line", func() {
		w := newWorld()
		for _, args := range [][]string{{"--controllers=nonsense"}, {"--data-dir=x"}, {"--cert=x"}, {"file.yaml"}, {"--no-such-flag"}} {
			Eventually(w.start(args...)).Should(gexec.Exit(2), "%v", args)
		}
	})

	It("may be a value in etcd that does not decode, which is reported and stops nothing", func(ctx SpecContext) {
		w := newWorld()
		const key = "/registry/apps/deployments/default/bad"
		_, err := w.client.Put(ctx, key, "not JSON")
		Expect(err).NotTo(HaveOccurred())
		session := w.start("--wait", "-f", manifestFile(deploymentYAML("web:1", 1, "")))
		Eventually(session).Should(gexec.Exit(0))
		Expect(session.Err).To(gbytes.Say(key))
	}, SpecTimeout(2*patience))
})
