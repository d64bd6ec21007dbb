package test

import (
	"encoding/json"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

var _ = Describe("The deployment-controller example", func() {
	It("rolls a manifest out and leaves the same objects in etcd as Kubernetes", func(ctx SpecContext) {
		w := newWorld()
		w.succeed("--wait", "-f", "../examples/deployment-controller/manifests/nginx.yaml")

		deployments := deploymentsOf(ctx, w)
		Expect(deployments).To(HaveLen(1))
		d := deployments[0]
		Expect(d.Name).To(Equal("nginx"))
		Expect(d.UID).NotTo(BeEmpty())
		Expect(d.ResourceVersion).To(BeEmpty(), "resourceVersion is never stored")
		Expect(d.Annotations).To(HaveKeyWithValue("deployment.kubernetes.io/revision", "1"))
		status := d.Status
		status.Conditions = nil
		status.TerminatingReplicas = nil
		Expect(status).To(Equal(appsv1.DeploymentStatus{
			ObservedGeneration: d.Generation, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 3,
		}))
		Expect(conditionsOf(d)).To(Equal(map[appsv1.DeploymentConditionType]string{
			appsv1.DeploymentAvailable:   "True MinimumReplicasAvailable",
			appsv1.DeploymentProgressing: "True NewReplicaSetAvailable",
		}))

		sets := replicaSetsOf(ctx, w)
		Expect(sets).To(HaveLen(1))
		hash := sets[0].Labels["pod-template-hash"]
		Expect(hash).NotTo(BeEmpty())
		Expect(sets[0].Name).To(Equal("nginx-" + hash))
		Expect(sets[0].Spec.Selector.MatchLabels).To(HaveKeyWithValue("pod-template-hash", hash))
		Expect(controllerOf(&sets[0])).To(Equal("apps/v1/Deployment nginx"))

		pods := podsOf(ctx, w)
		Expect(pods).To(HaveLen(3))
		for _, pod := range pods {
			Expect(pod.Name).To(HavePrefix(sets[0].Name + "-"))
			Expect(pod.Labels).To(HaveKeyWithValue("pod-template-hash", hash))
			Expect(controllerOf(&pod)).To(Equal("apps/v1/ReplicaSet " + sets[0].Name))
			Expect(pod.Status.Phase).To(Equal(corev1.PodRunning))
		}
	}, SpecTimeout(2*patience))

	It("keeps to maxSurge and maxUnavailable at every revision of an update", func(ctx SpecContext) {
		w := newWorld()
		w.succeed("--wait", "-f", manifestFile(deploymentYAML("web:1", 5, "")))
		complete := w.revision(ctx)
		w.succeed("--wait", "-f", manifestFile(deploymentYAML("web:2", 5, "")))

		seen := 0
		w.replay(ctx, func(rev int64, h history) {
			if rev < complete {
				return
			}
			seen++
			Expect(h.active()).To(BeNumerically("<=", 6), "Pods at revision %d", rev)
			Expect(h.ready()).To(BeNumerically(">=", 5), "ready Pods at revision %d", rev)
		})
		Expect(seen).To(BeNumerically(">", 20))
		Expect(w.created(ctx, podsPrefix)).To(HaveLen(10), "five Pods for each image, and not one more")
		Expect(podsOf(ctx, w)).To(HaveEach(HaveField("Spec.Containers", HaveEach(HaveField("Image", "web:2")))))
	}, SpecTimeout(2*patience))

	It("keeps what others have set when it applies a manifest again", func(ctx SpecContext) {
		w := newWorld()
		apply := func(annotations string) {
			text := strings.Replace(deploymentYAML("web:1", 1, ""), "namespace: default", "namespace: default, annotations: {"+annotations+"}", 1)
			w.succeed("--controllers=", "-f", manifestFile(strings.Replace(text, "  replicas: 1\n", "", 1)))
		}
		apply("mine: x, dropped: x")
		d := deploymentsOf(ctx, w)[0]
		d.Spec.Replicas, d.Annotations["theirs"] = new(int32(5)), "y"
		value, err := json.Marshal(d)
		Expect(err).NotTo(HaveOccurred())
		_, err = w.client.Put(ctx, "/registry/apps/deployments/default/web", string(value))
		Expect(err).NotTo(HaveOccurred())
		apply("mine: z")
		d = deploymentsOf(ctx, w)[0]
		Expect(d.Spec.Replicas).To(HaveValue(BeEquivalentTo(5)))
		Expect(d.Annotations).To(And(HaveKeyWithValue("mine", "z"), HaveKeyWithValue("theirs", "y"), Not(HaveKey("dropped"))))
	}, SpecTimeout(2*patience))

	It("never runs Pods of two images at once with strategy Recreate", func(ctx SpecContext) {
		w := newWorld()
		recreate := func(image string) string {
			return strings.ReplaceAll(deploymentYAML(image, 3, ""), "{rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}", "{type: Recreate}")
		}
		w.succeed("--wait", "-f", manifestFile(recreate("web:1")))
		w.succeed("--wait", "-f", manifestFile(recreate("web:2")))
		w.replay(ctx, func(rev int64, h history) {
			images := map[string]bool{}
			for _, pod := range h.pods {
				images[pod.Spec.Containers[0].Image] = true
			}
			Expect(len(images)).To(BeNumerically("<=", 1), "images at revision %d", rev)
		})
		Expect(podsOf(ctx, w)).To(HaveLen(3))
	}, SpecTimeout(2*patience))

	It("scales up and down, and deletes everything with its owner", func(ctx SpecContext) {
		w := newWorld()
		reconciler := w.start()
		for _, replicas := range []int{2, 7, 1} {
			w.succeed("--controllers=", "--wait", "-f", manifestFile(deploymentYAML("web:1", replicas, "")))
			Eventually(func() []corev1.Pod { return podsOf(ctx, w) }).Should(HaveLen(replicas))
		}
		Expect(replicaSetsOf(ctx, w)).To(HaveLen(1))

		_, err := w.client.Delete(ctx, "/registry/apps/deployments/default/web")
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() []appsv1.ReplicaSet { return replicaSetsOf(ctx, w) }).Should(BeEmpty())
		Eventually(func() []corev1.Pod { return podsOf(ctx, w) }).Should(BeEmpty())
		Eventually(reconciler.Interrupt()).Should(gexec.Exit(0))
	}, SpecTimeout(2*patience))

	It("completes a rollout after kills and restarts, without a Pod too many", func(ctx SpecContext) {
		w := newWorld()
		w.succeed("--wait", "-f", manifestFile(deploymentYAML("web:1", 4, "")))
		w.succeed("--controllers=", "-f", manifestFile(deploymentYAML("web:2", 4, "")))
		for _, created := range []int{5, 6, 7} {
			victim := w.start("-f", manifestFile(deploymentYAML("web:2", 4, "")))
			Eventually(func() int { return len(w.created(ctx, podsPrefix)) }).
				WithPolling(time.Millisecond).Should(BeNumerically(">=", created))
			victim.Kill().Wait(patience)
		}
		w.succeed("--wait", "-f", manifestFile(deploymentYAML("web:2", 4, "")))
		Expect(w.created(ctx, podsPrefix)).To(HaveLen(8))
		Expect(podsOf(ctx, w)).To(HaveLen(4))
	}, SpecTimeout(3*patience))

	It("reports why a Deployment fails", func(ctx SpecContext) {
		w := newWorld()
		session := w.start("--wait", "-f", manifestFile(deploymentYAML("example.com/broken:1", 1, "progressDeadlineSeconds: 1")))
		Eventually(session).Should(gexec.Exit(1))
		Expect(session.Err).To(gbytes.Say(`deployment default/web failed: .*ProgressDeadlineExceeded`))
		Expect(conditionsOf(deploymentsOf(ctx, w)[0])).To(HaveKeyWithValue(appsv1.DeploymentProgressing, "False ProgressDeadlineExceeded"))
	}, SpecTimeout(2*patience))

	It("replaces Pods that fail, collects them, and shows the Events", func(ctx SpecContext) {
		w := newWorld()
		annotated := func(annotations string) string {
			return manifestFile(strings.Replace(deploymentYAML("web:1", 1, ""), "metadata: {labels", "metadata: {annotations: {"+annotations+"}, labels", 1))
		}
		session := w.start("-v", "1", "-f", annotated(`hollow-node.example.com/fail: "1"`))
		output := func() string { return string(session.Out.Contents()) }
		Eventually(output).Should(And(
			MatchRegexp(`Normal ScalingReplicaSet deployment default/web: Scaled up`),
			MatchRegexp(`Warning Failed pod default/web-`)))
		Eventually(func() int { return len(w.created(ctx, podsPrefix)) }).Should(BeNumerically(">", 12))
		Eventually(func() int { return len(podsOf(ctx, w)) }).Should(BeNumerically("<=", 12))
		w.succeed("--controllers=", "--wait", "-f", annotated(`hollow-node.example.com/stop: "100ms"`))
	}, SpecTimeout(2*patience))

	It("does not take the failure of an earlier rollout for one of its own", func(ctx SpecContext) {
		w := newWorld()
		const deadline = "progressDeadlineSeconds: 1"
		w.succeed("--wait", "-f", manifestFile(deploymentYAML("web:1", 1, "")))
		w.start("--controllers=deployment,replicaset,hollow-node")
		broken := w.start("--controllers=", "--wait", "-f", manifestFile(deploymentYAML("broken:1", 1, deadline)))
		Eventually(broken).Should(gexec.Exit(1))
		// The condition stays in the status when the controller has seen the fix.
		w.succeed("--controllers=", "--wait", "-f", manifestFile(deploymentYAML("web:1", 2, "progressDeadlineSeconds: 60")))
	}, SpecTimeout(2*patience))
})
