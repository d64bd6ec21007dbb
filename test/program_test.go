package test

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// world is an etcd for one spec.
type world struct {
	cluster *etcdtest.Cluster
	client  *clientv3.Client
}

func newWorld() *world {
	GinkgoHelper()
	etcdtest.VerifyNoLeaks(GinkgoTB())
	c := etcdtest.Start(GinkgoTB(), etcdtest.Options{ClientAddr: "127.0.0.1:0"})
	return &world{cluster: c, client: c.Client()}
}

// start runs the program against the world's etcd.
func (w *world) start(args ...string) *gexec.Session {
	GinkgoHelper()
	args = append([]string{"--endpoints=" + strings.Join(w.cluster.Endpoints(), ","), "--pod-start-delay=50ms"}, args...)
	session, err := gexec.Start(exec.Command(deploymentController, args...), GinkgoWriter, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { session.Kill().Wait(patience) })
	return session
}

// succeed runs the program to its end and expects exit status 0.
func (w *world) succeed(args ...string) {
	GinkgoHelper()
	Eventually(w.start(args...)).Should(gexec.Exit(0))
}

// all decodes the values below a prefix. It does not use homeostat.
func all[T any](ctx context.Context, w *world, prefix string) []T {
	GinkgoHelper()
	resp, err := w.client.Get(ctx, prefix, clientv3.WithPrefix())
	Expect(err).NotTo(HaveOccurred())
	items := make([]T, len(resp.Kvs))
	for i, kv := range resp.Kvs {
		Expect(json.Unmarshal(kv.Value, &items[i])).To(Succeed(), "%s: %s", kv.Key, kv.Value)
	}
	return items
}

func deploymentsOf(ctx context.Context, w *world) []appsv1.Deployment {
	return all[appsv1.Deployment](ctx, w, "/registry/apps/deployments/")
}

func replicaSetsOf(ctx context.Context, w *world) []appsv1.ReplicaSet {
	return all[appsv1.ReplicaSet](ctx, w, "/registry/apps/replicasets/")
}

func podsOf(ctx context.Context, w *world) []corev1.Pod {
	return all[corev1.Pod](ctx, w, "/registry/core/pods/")
}

// warningsOf returns the reasons and the objects of the warnings among the Events.
func warningsOf(ctx context.Context, w *world) []string {
	var warnings []string
	for _, e := range all[eventsv1.Event](ctx, w, "/events/") {
		if e.Type == corev1.EventTypeWarning {
			warnings = append(warnings, e.Reason+" "+e.Regarding.Name)
		}
	}
	return warnings
}

func conditionsOf(d appsv1.Deployment) map[appsv1.DeploymentConditionType]string {
	conditions := map[appsv1.DeploymentConditionType]string{}
	for _, c := range d.Status.Conditions {
		conditions[c.Type] = fmt.Sprintf("%s %s", c.Status, c.Reason)
	}
	return conditions
}

func controllerOf(obj metav1.Object) string {
	ref := metav1.GetControllerOf(obj)
	if ref == nil {
		return ""
	}
	return fmt.Sprintf("%s/%s %s", ref.APIVersion, ref.Kind, ref.Name)
}

// deploymentYAML returns a Deployment "web". more is an additional line of its spec.
func deploymentYAML(image string, replicas int, more string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  %s
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: %q}]}
`, replicas, more, image)
}
