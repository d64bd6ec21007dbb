package controllers

import (
	"fmt"
	"math"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/controllertest"
	"github.com/homeostat/homeostat/pkg/store"
)

// startedPod returns a bound Pod whose containers started an hour ago.
func startedPod(name string, annotations map[string]string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: map[string]string{
			startedAnnotation: time.Now().Add(-time.Hour).Format(time.RFC3339Nano),
		}},
		Spec: corev1.PodSpec{NodeName: NodeName, Containers: []corev1.Container{{Name: "c", Image: "c"}}},
	}
	for key, value := range annotations {
		pod.Annotations[key] = value
	}
	return pod
}

// node returns a hollow node whose Pods start in a minute, and its Events.
func node(t *testing.T, objects ...store.Object) (*controllertest.Env, *controller.Controller[controller.Request], *eventLog) {
	t.Helper()
	env, _, _, log := controllersOf(t, objects...)
	n := &hollowNode{startDelay: time.Minute, seed: 1, events: log}
	return env, reconciler(t, env, "hollow-node", n.reconcile), log
}

func TestHollowNodeCrashesAndRestarts(t *testing.T) {
	pod := startedPod("a", map[string]string{CrashAnnotation: "1"})
	env, c, log := node(t, pod)
	out := env.Reconcile(c, store.KeyOf(pod))
	if out.Err != nil || out.Result.RequeueAfter != time.Minute { // half of twice the delay
		t.Fatalf("%+v", out)
	}
	crashed, _ := controllertest.Get[*corev1.Pod](env, store.KeyOf(pod))
	status := crashed.Status.ContainerStatuses[0]
	if crashed.Status.Phase != corev1.PodRunning || isReady(crashed) || status.RestartCount != 1 || status.State.Waiting.Reason != "CrashLoopBackOff" {
		t.Errorf("%+v", crashed.Status)
	}
	if len(*log) != 1 || (*log)[0] != "Warning BackOff a: Back-off restarting failed containers" {
		t.Errorf("events %q", *log)
	}
	// It restarts, and this time it becomes ready.
	again := crashed.DeepCopy()
	again.Annotations[startedAnnotation] = time.Now().Add(-time.Hour).Format(time.RFC3339Nano)
	again.Annotations[CrashAnnotation] = "0"
	env.Put(again)
	if out := env.Reconcile(c, store.KeyOf(pod)); out.Err != nil {
		t.Fatal(out.Err)
	}
	ready, _ := controllertest.Get[*corev1.Pod](env, store.KeyOf(pod))
	if !isReady(ready) || ready.Status.ContainerStatuses[0].RestartCount != 1 {
		t.Errorf("%+v", ready.Status)
	}
}

func TestHollowNodeFailsPods(t *testing.T) {
	never := startedPod("never", map[string]string{CrashAnnotation: "1"})
	never.Spec.RestartPolicy = corev1.RestartPolicyNever
	for _, pod := range []*corev1.Pod{startedPod("a", map[string]string{FailAnnotation: "1", CrashAnnotation: "1"}), never} {
		env, c, log := node(t, pod)
		for range 2 { // a Pod that has failed stays as it is
			if out := env.Reconcile(c, store.KeyOf(pod)); out.Err != nil {
				t.Fatal(out.Err)
			}
		}
		failed, _ := controllertest.Get[*corev1.Pod](env, store.KeyOf(pod))
		if failed.Status.Phase != corev1.PodFailed || isReady(failed) || len(*log) != 1 {
			t.Errorf("%+v %q", failed.Status, *log)
		}
	}
}

func TestHollowNodeStopsPodsWithinTheirGrace(t *testing.T) {
	for name, c := range map[string]struct {
		stop  string
		since time.Duration // the deletion
		gone  bool
	}{
		"at once":             {"", 0, true},
		"malformed":           {"soon", 0, true},
		"takes a while":       {"10s", 5 * time.Second, false},
		"took a while":        {"10s", 15 * time.Second, true},
		"killed at the end":   {"1h", 31 * time.Second, true},
		"not before that end": {"1h", 25 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := startedPod("a", map[string]string{StopAnnotation: c.stop})
			end := metav1.NewTime(time.Now().Add(30*time.Second - c.since))
			pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &end, new(int64(30))
			env, node, _ := node(t, pod)
			out := env.Reconcile(node, store.KeyOf(pod))
			if out.Err != nil || (out.Result.RequeueAfter == 0) != c.gone {
				t.Errorf("%+v", out)
			}
			if _, there := controllertest.Get[*corev1.Pod](env, store.KeyOf(pod)); there == c.gone {
				t.Errorf("there: %t", there)
			}
		})
	}
}

// The same seed makes the same Pods crash, as often as it was asked for.
func TestDraw(t *testing.T) {
	const n = 10_000
	crashed, differ := 0, 0
	for i := range n {
		pod := startedPod(fmt.Sprintf("web-5d4f-%05d", i), map[string]string{CrashAnnotation: "0.25"})
		first := outcomeOf(1, pod)
		if outcomeOf(1, pod) != first {
			t.Fatal("two outcomes of one start")
		}
		if first == crashes {
			crashed++
		}
		if outcomeOf(2, pod) != first {
			differ++
		}
	}
	if math.Abs(float64(crashed)/n-0.25) > 0.02 || differ < n/4 {
		t.Errorf("%d of %d crashed; another seed changed %d", crashed, n, differ)
	}
	for text, want := range map[string]float64{"": 0, "x": 0, "-1": 0, "NaN": 0, "0.5": 0.5, "7": 1} {
		if got := probability(startedPod("a", map[string]string{CrashAnnotation: text}), CrashAnnotation); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestReplicaSetGivesPodsTimeToStop(t *testing.T) {
	bound := startedPod("a", nil)
	for _, c := range []struct {
		seconds *int64
		want    int64
	}{{nil, 30}, {new(int64(5)), 5}, {new(int64(-1)), 1}, {new(int64(0)), 0}} {
		bound.Spec.TerminationGracePeriodSeconds = c.seconds
		if got := graceOf(bound); got != c.want {
			t.Errorf("%d, want %d", got, c.want)
		}
	}
	bound.Spec.TerminationGracePeriodSeconds = nil
	failed, unbound := bound.DeepCopy(), bound.DeepCopy()
	failed.Status.Phase, unbound.Spec.NodeName = corev1.PodFailed, ""
	if graceOf(failed) != 0 || graceOf(unbound) != 0 {
		t.Error("a Pod that does not run gets time")
	}
}

func TestPodCollectorKeepsTheNewest(t *testing.T) {
	var objects []store.Object
	for i := range MaxTerminated + 3 {
		pod := startedPod(fmt.Sprintf("failed-%02d", i), nil)
		pod.CreationTimestamp = metav1.NewTime(time.Unix(int64(1000-i), 0)) // the last is the oldest
		pod.Status.Phase = corev1.PodFailed
		objects = append(objects, pod)
	}
	running := startedPod("running", nil)
	running.CreationTimestamp = metav1.NewTime(time.Unix(1, 0))
	elsewhere := objects[0].DeepCopyObject().(*corev1.Pod)
	elsewhere.Namespace = "elsewhere"
	env, _, _, _ := controllersOf(t, append(objects, running, elsewhere)...)
	collector, err := newPodCollector(env.Manager())
	if err != nil {
		t.Fatal(err)
	}
	out := env.Reconcile(reconciler(t, env, "pod-collector", collector.reconcile), store.KeyOf(objects[0]))
	var gone []string
	for _, pod := range controllertest.Deleted[*corev1.Pod](out) {
		gone = append(gone, pod.Name)
	}
	if want := "[failed-10 failed-11 failed-12]"; out.Err != nil || fmt.Sprint(gone) != want {
		t.Errorf("deleted %v, %v", gone, out.Err)
	}
}
