package progress

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// Set is the summary of one ReplicaSet.
type Set struct {
	Name, Revision string
	// Image has the images of its containers, separated by commas.
	Image string
	// Desired is the desired number of Pods. The others count existing Pods.
	Desired, Total, Ready, Available int32
	// Pods counts its Pods by state, such as "1 ImagePullBackOff, 2 Ready".
	Pods string
}

func newSet(rs *appsv1.ReplicaSet, pods []*corev1.Pod) Set {
	var images []string
	for i := range rs.Spec.Template.Spec.Containers {
		images = append(images, rs.Spec.Template.Spec.Containers[i].Image)
	}
	return Set{
		Name:      rs.Name,
		Revision:  rs.Annotations[revisionAnnotation],
		Image:     strings.Join(images, ","),
		Desired:   desired(rs.Spec.Replicas),
		Total:     rs.Status.Replicas,
		Ready:     rs.Status.ReadyReplicas,
		Available: rs.Status.AvailableReplicas,
		Pods:      podsText(pods),
	}
}

// active reports whether a set has Pods or should have some. Others are kept only for their template.
func (s *Set) active() bool { return s.Desired > 0 || s.Total > 0 || s.Pods != "" }

// newSetOf returns the oldest ReplicaSet with the Deployment's template, or nil if there is none.
func newSetOf(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) *appsv1.ReplicaSet {
	var found *appsv1.ReplicaSet
	for _, rs := range sets {
		if sameTemplate(&d.Spec.Template, &rs.Spec.Template) &&
			(found == nil || rs.CreationTimestamp.Before(&found.CreationTimestamp)) {
			found = rs
		}
	}
	return found
}

// sameTemplate compares templates without the hash label, which only the ReplicaSet's has.
func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	return equality.Semantic.DeepEqual(withoutHash(a), withoutHash(b))
}

func withoutHash(t *corev1.PodTemplateSpec) corev1.PodTemplateSpec {
	bare := *t
	bare.Labels = maps.Clone(t.Labels)
	delete(bare.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return bare
}

func podsText(pods []*corev1.Pod) string {
	counts := map[string]int{}
	for _, p := range pods {
		counts[podText(p)]++
	}
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[state], state))
	}
	return strings.Join(parts, ", ")
}

// podText describes the state of a Pod in one word.
func podText(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "Terminating"
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if c.State.Waiting != nil && c.State.Waiting.Reason != "" {
			return c.State.Waiting.Reason
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return "Ready"
		}
	}
	if p.Status.Phase == "" {
		return string(corev1.PodPending)
	}
	return string(p.Status.Phase)
}

// number returns a revision as a number for sorting, or 0 if it is not a number.
func number(revision string) int64 {
	n, err := strconv.ParseInt(revision, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
