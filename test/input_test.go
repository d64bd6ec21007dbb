package test

import (
	"encoding/json"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
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
			session := w.start(args...)
			Eventually(session).Should(gexec.Exit(2), "%v", args)
			Expect(string(session.Err.Contents())).To(MatchRegexp(`^deployment-controller: [^\n]+; see -help\n$`), "%v", args)
		}
	})

	It("never reaches the terminal as it is", func(ctx SpecContext) {
		w := newWorld()
		const name = "a\x1b[2J\nb"
		evil := appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: "u"}}
		evil.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": name}}
		value, err := json.Marshal(evil)
		Expect(err).NotTo(HaveOccurred())
		_, err = w.client.Put(ctx, "/registry/apps/deployments/default/"+name, string(value))
		Expect(err).NotTo(HaveOccurred())
		session := w.start("--wait")
		Eventually(session).Should(gexec.Exit(1))
		out, errs := string(session.Out.Contents()), string(session.Err.Contents())
		Expect(out).To(And(ContainSubstring("default/a?[2J"), Not(ContainSubstring("\x1b"))))
		Expect(errs).To(And(ContainSubstring("a?[2J; b failed"), Not(ContainSubstring("\x1b"))))
	}, SpecTimeout(2*patience))

	It("may be an invalid Deployment in etcd, which every reader of its status, Events and progress sees", func(ctx SpecContext) {
		w := newWorld()
		put := func(name, manifest string) {
			manifest = strings.Replace(manifest, "name: web, namespace", "uid: "+name+", name: "+name+", namespace", 1)
			value, err := yaml.YAMLToJSON([]byte(strings.ReplaceAll(manifest, "app: web", "app: "+name)))
			Expect(err).NotTo(HaveOccurred())
			_, err = w.client.Put(ctx, "/registry/apps/deployments/default/"+name, string(value))
			Expect(err).NotTo(HaveOccurred())
		}
		valid := deploymentYAML("web:1", 1, "")
		put("no-image", strings.Replace(valid, `"web:1"`, `""`, 1))
		put("bad-surge", strings.Replace(valid, "maxSurge: 1", "maxSurge: many", 1))
		session := w.start()
		reasons := func() map[string]string {
			found := map[string]string{}
			for _, d := range deploymentsOf(ctx, w) {
				found[d.Name] = conditionsOf(d)[appsv1.DeploymentProgressing]
			}
			return found
		}
		Eventually(reasons).Should(Equal(map[string]string{"no-image": "False ReplicaSetCreateError", "bad-surge": "False InvalidDeployment"}))
		Eventually(func() []string { return warningsOf(ctx, w) }).Should(ConsistOf("ReplicaSetCreateError no-image", "InvalidDeployment bad-surge"))
		Eventually(func() string { return string(session.Out.Contents()) }).Should(And(
			MatchRegexp("default/no-image .*Not progressing: ReplicaSetCreateError: .*image"),
			MatchRegexp("default/bad-surge .*Not progressing: InvalidDeployment: .*maxSurge")))
		Eventually(func() string { return string(session.Err.Contents()) }).Should(And(
			MatchRegexp("default/no-image.*image"), MatchRegexp("default/bad-surge.*maxSurge")))

		waiting := w.start("--controllers=", "--wait")
		Eventually(waiting).Should(gexec.Exit(1))
		Expect(waiting.Err).To(gbytes.Say("default/bad-surge failed: InvalidDeployment: .*maxSurge"))
		put("no-image", valid)
		put("bad-surge", valid)
		w.succeed("--controllers=", "--wait")
	}, SpecTimeout(2*patience))

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
