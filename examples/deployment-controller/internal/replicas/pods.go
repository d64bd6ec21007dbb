package replicas

import (
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Replicas is spec.replicas, or its default 1.
func Replicas(rs *appsv1.ReplicaSet) int32 {
	if rs.Spec.Replicas == nil {
		return 1
	}
	return *rs.Spec.Replicas
}

// Active reports whether a Pod counts towards a ReplicaSet's size: it is neither
// terminal nor being deleted.
func Active(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && !Terminal(pod)
}

// Terminal reports whether a Pod has ended and will never run again.
func Terminal(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// terminating reports whether a Pod is being deleted but may still run.
func terminating(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil && !Terminal(pod)
}

// readyCondition returns the Ready condition if its status is true, else nil.
func readyCondition(pod *corev1.Pod) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

// availableIn returns how much longer a ready Pod must stay ready to count as
// available. Zero or less means that it is available.
func availableIn(ready *corev1.PodCondition, minReadySeconds int32, now time.Time) time.Duration {
	if minReadySeconds == 0 {
		return 0
	}
	if ready.LastTransitionTime.IsZero() {
		// The time is unknown. Only a change of the Pod can help.
		return never
	}
	since := ready.LastTransitionTime.Time
	return since.Add(time.Duration(minReadySeconds) * time.Second).Sub(now)
}

const never = time.Duration(1<<63 - 1)

// nextAvailable returns the time until the next ready Pod becomes available, or zero
// if no Pod is waiting for that.
func nextAvailable(pods []*corev1.Pod, minReadySeconds int32, now time.Time) time.Duration {
	next := never
	for _, pod := range pods {
		ready := readyCondition(pod)
		if ready == nil {
			continue
		}
		if wait := availableIn(ready, minReadySeconds, now); wait > 0 {
			next = min(next, wait)
		}
	}
	if next == never {
		return 0
	}
	return next
}

func filter(pods []*corev1.Pod, keep func(*corev1.Pod) bool) []*corev1.Pod {
	var kept []*corev1.Pod
	for _, pod := range pods {
		if keep(pod) {
			kept = append(kept, pod)
		}
	}
	return kept
}

const maxNameLength = 253

func kind() schema.GroupVersionKind { return appsv1.SchemeGroupVersion.WithKind("ReplicaSet") }

// newPod returns a Pod from the ReplicaSet's template. From the template's metadata it
// takes only labels, annotations and finalizers.
func newPod(rs *appsv1.ReplicaSet) *corev1.Pod {
	template := &rs.Spec.Template
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       rs.Namespace,
			GenerateName:    namePrefix(rs.Name),
			Labels:          maps.Clone(template.Labels),
			Annotations:     maps.Clone(template.Annotations),
			Finalizers:      slices.Clone(template.Finalizers),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(rs, kind())},
		},
		Spec: *template.Spec.DeepCopy(),
	}
}

// namePrefix appends a dash to the name if the result is still a valid name.
func namePrefix(name string) string {
	if len(name) >= maxNameLength {
		return name
	}
	return name + "-"
}
