package replicas

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var now = time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

// sample makes a Pod of one of the kinds that the tables name.
func sample(kind string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: kind}}
	switch kind {
	case "UP":
		pod.Status.Phase = corev1.PodPending
	case "SP":
		pod.Spec.NodeName, pod.Status.Phase = "node-1", corev1.PodPending
	case "NR":
		pod.Spec.NodeName, pod.Status.Phase = "node-1", corev1.PodRunning
	case "R1":
		pod.Spec.NodeName, pod.Status.Phase = "node-1", corev1.PodRunning
		setReady(pod, ago(time.Hour))
	case "R2":
		pod.Spec.NodeName, pod.Status.Phase = "node-2", corev1.PodRunning
		setReady(pod, ago(time.Hour))
	}
	return pod
}

func setReady(pod *corev1.Pod, since metav1.Time) {
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: since}}
}

func samples(kinds ...string) []*corev1.Pod {
	pods := make([]*corev1.Pod, len(kinds))
	for i, kind := range kinds {
		pods[i] = sample(kind)
	}
	return pods
}

func podNames(pods []*corev1.Pod) []string {
	names := []string{}
	for _, pod := range pods {
		names = append(names, pod.Name)
	}
	return names
}

func TestPodsToDelete(t *testing.T) {
	same := []string(nil)
	tests := []struct {
		pods, related []string
		count         int
		want          []string
	}{
		{[]string{}, same, 0, []string{}},
		{[]string{"NR", "R1"}, same, 2, []string{"NR", "R1"}},
		{[]string{"R1", "NR"}, same, 1, []string{"NR"}},
		{[]string{"R1", "R1", "R2", "NR", "SP", "UP"}, same, 6, []string{"R1", "R1", "R2", "NR", "SP", "UP"}},
		{[]string{"R1", "R1", "R2", "NR", "SP", "UP"}, []string{}, 6, []string{"R1", "R1", "R2", "NR", "SP", "UP"}},
		{[]string{"SP", "UP"}, same, 1, []string{"UP"}},
		{[]string{"R1", "NR", "NR"}, same, 2, []string{"NR", "NR"}},
		{[]string{"R1", "R2"}, []string{"R1", "R2", "R2"}, 1, []string{"R2"}},
		{[]string{"SP", "NR"}, same, 1, []string{"SP"}},
		{[]string{"R1", "R2", "NR", "SP", "UP"}, same, 3, []string{"UP", "SP", "NR"}},
		{[]string{"R1", "R1", "R2"}, same, 1, []string{"R1"}},
	}
	for _, tc := range tests {
		t.Run(fmt.Sprint(tc.count, tc.pods, tc.related), func(t *testing.T) {
			pods := samples(tc.pods...)
			related := pods
			if tc.related != nil {
				related = samples(tc.related...)
			}
			before := podNames(pods)
			if got := podNames(podsToDelete(pods, related, tc.count, 0, now)); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			if !slices.Equal(podNames(pods), before) {
				t.Error("the list passed in was reordered")
			}
		})
	}
}

// TestVictimOrder compares two Pods that differ in one thing only. The first of
// each pair goes first.
func TestVictimOrder(t *testing.T) {
	edit := func(change func(*corev1.Pod)) *corev1.Pod {
		pod := sample("R1")
		pod.UID = "m"
		pod.CreationTimestamp = ago(2 * time.Hour)
		change(pod)
		return pod
	}
	same := func(*corev1.Pod) {}
	phase := func(p corev1.PodPhase) func(*corev1.Pod) { return func(pod *corev1.Pod) { pod.Status.Phase = p } }
	cost := func(text string) func(*corev1.Pod) {
		return func(pod *corev1.Pod) { pod.Annotations = map[string]string{corev1.PodDeletionCost: text} }
	}
	ready := func(since metav1.Time, uid types.UID) func(*corev1.Pod) {
		return func(pod *corev1.Pod) { setReady(pod, since); pod.UID = uid }
	}
	created := func(at metav1.Time, uid types.UID) func(*corev1.Pod) {
		return func(pod *corev1.Pod) { pod.CreationTimestamp, pod.UID = at, uid }
	}
	restarted := func(n int32) func(*corev1.Pod) {
		return func(pod *corev1.Pod) {
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: 1}, {RestartCount: n}}
		}
	}
	sidecar := func(n int32) func(*corev1.Pod) {
		return func(pod *corev1.Pod) {
			always := corev1.ContainerRestartPolicyAlways
			pod.Spec.InitContainers = []corev1.Container{{Name: "side", RestartPolicy: &always}, {Name: "init"}}
			pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "side", RestartCount: n}, {Name: "init", RestartCount: 9 - n}}
		}
	}
	tests := []struct {
		name          string
		first, second func(*corev1.Pod)
	}{
		{"unscheduled", func(pod *corev1.Pod) { pod.Spec.NodeName = "" }, same},
		{"pending before unknown", phase(corev1.PodPending), phase(corev1.PodUnknown)},
		{"unknown before running", phase(corev1.PodUnknown), same},
		{"not ready", func(pod *corev1.Pod) { pod.Status.Conditions = nil }, same},
		{"cheaper than the default", cost("-1"), same},
		{"costlier than the default", same, cost("1")},
		{"malformed costs count as 0", cost("+5"), cost("1")},
		{"too large a cost counts as 0", cost("2147483648"), cost("1")},
		{"ready for less time", ready(ago(time.Minute), "z"), ready(ago(time.Hour), "a")},
		{"not yet available, though costlier", func(pod *corev1.Pod) { cost("9")(pod); setReady(pod, ago(time.Second)) }, same},
		{"ready since unknown", ready(metav1.Time{}, "z"), ready(ago(time.Minute), "a")},
		{"ready for about as long: uid", ready(ago(8*time.Hour), "a"), ready(ago(5*time.Hour), "b")},
		{"more restarts", restarted(3), restarted(2)},
		{"more restarts of a sidecar", sidecar(3), sidecar(2)},
		{"younger", created(ago(time.Minute), "z"), created(ago(time.Hour), "a")},
		{"about as young: uid", created(ago(8*time.Hour), "a"), created(ago(5*time.Hour), "b")},
		{"creation unknown", created(metav1.Time{}, "z"), created(ago(time.Minute), "a")},
		{"created in the future", created(ago(-time.Minute), "z"), created(ago(time.Second), "a")},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			a, b := newVictim(edit(tc.first), 0, 2, now), newVictim(edit(tc.second), 0, 2, now)
			if got := compareVictims(a, b, now); got >= 0 {
				t.Errorf("first against second: %d", got)
			}
			if got := compareVictims(b, a, now); got <= 0 {
				t.Errorf("second against first: %d", got)
			}
		})
	}
}
