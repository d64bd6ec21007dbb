package replicas

import (
	"cmp"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/workloads"
)

// podsToDelete picks count of the Pods, starting with those that matter least. If all
// Pods go, they keep their order.
func podsToDelete(pods, related []*corev1.Pod, count int, minReadySeconds int32, now time.Time) []*corev1.Pod {
	if count >= len(pods) {
		return pods
	}
	onNode := make(map[string]int)
	for _, pod := range related {
		if Active(pod) {
			onNode[pod.Spec.NodeName]++
		}
	}
	ranked := make([]victim, len(pods))
	for i, pod := range pods {
		ranked[i] = newVictim(pod, onNode[pod.Spec.NodeName], minReadySeconds, now)
	}
	slices.SortStableFunc(ranked, func(a, b victim) int { return compareVictims(a, b, now) })
	chosen := make([]*corev1.Pod, count)
	for i := range chosen {
		chosen[i] = ranked[i].pod
	}
	return chosen
}

// victim is a Pod with its sort keys, computed once.
type victim struct {
	pod             *corev1.Pod
	phase           int
	ready           *corev1.PodCondition
	available       bool
	cost            int32
	related         int
	restarts        int32
	sidecarRestarts int32
}

func newVictim(pod *corev1.Pod, related int, minReadySeconds int32, now time.Time) victim {
	v := victim{pod: pod, phase: phaseRank(pod), ready: readyCondition(pod), cost: deletionCost(pod), related: related}
	v.available = v.ready != nil && availableIn(v.ready, minReadySeconds, now) <= 0
	v.restarts, v.sidecarRestarts = restarts(pod)
	return v
}

// compareVictims is negative if a goes before b. A Pod that is ready but not yet
// available goes before an available one, whatever their costs: a rolling update
// relies on a shrinking ReplicaSet to keep its available Pods.
func compareVictims(a, b victim, now time.Time) int {
	byReadiness := cmp.Or(
		compareBool(a.pod.Spec.NodeName != "", b.pod.Spec.NodeName != ""),
		cmp.Compare(a.phase, b.phase),
		compareBool(a.ready != nil, b.ready != nil),
		compareBool(a.available, b.available),
		cmp.Compare(a.cost, b.cost),
		cmp.Compare(b.related, a.related),
	)
	if byReadiness != 0 {
		return byReadiness
	}
	if a.ready != nil && !a.ready.LastTransitionTime.Equal(&b.ready.LastTransitionTime) {
		return compareAge(a.pod, b.pod, a.ready.LastTransitionTime, b.ready.LastTransitionTime, now)
	}
	if byRestarts := cmp.Or(cmp.Compare(b.restarts, a.restarts), cmp.Compare(b.sidecarRestarts, a.sidecarRestarts)); byRestarts != 0 {
		return byRestarts
	}
	if !a.pod.CreationTimestamp.Equal(&b.pod.CreationTimestamp) {
		return compareAge(a.pod, b.pod, a.pod.CreationTimestamp, b.pod.CreationTimestamp, now)
	}
	return 0
}

// compareAge puts the younger Pod first. It compares ages by powers of two; within one
// power the uid decides. If the youngest Pod always went first, every scale-down would
// hit the Pods of the last scale-up, which often share a zone.
func compareAge(a, b *corev1.Pod, since, other metav1.Time, now time.Time) int {
	if since.IsZero() || other.IsZero() {
		return compareBool(!since.IsZero(), !other.IsZero())
	}
	return cmp.Or(
		cmp.Compare(magnitude(now.Sub(since.Time)), magnitude(now.Sub(other.Time))),
		cmp.Compare(a.UID, b.UID),
	)
}

func magnitude(age time.Duration) int {
	if age <= 0 {
		return -1
	}
	return int(math.Log2(float64(age)))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func phaseRank(pod *corev1.Pod) int {
	switch pod.Status.Phase {
	case corev1.PodUnknown:
		return 1
	case corev1.PodRunning:
		return 2
	}
	return 0
}

// deletionCost reads the cost annotation. It returns 0 if the annotation is missing or
// malformed.
func deletionCost(pod *corev1.Pod) int32 {
	cost, _ := workloads.DeletionCost(pod.Annotations[corev1.PodDeletionCost])
	return cost
}

// restarts returns the highest restart count of any container, and of any sidecar,
// which is an init container that keeps running.
func restarts(pod *corev1.Pod) (regular, sidecar int32) {
	for _, status := range pod.Status.ContainerStatuses {
		regular = max(regular, status.RestartCount)
	}
	always := make(map[string]bool)
	for _, c := range pod.Spec.InitContainers {
		always[c.Name] = c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	}
	for _, status := range pod.Status.InitContainerStatuses {
		if always[status.Name] {
			sidecar = max(sidecar, status.RestartCount)
		}
	}
	return regular, sidecar
}
