package replicas

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Reasons of the condition ReplicaFailure.
const (
	ReasonFailedCreate = "FailedCreate"
	ReasonFailedDelete = "FailedDelete"
	ReasonFailedAdopt  = "FailedAdopt"       // the number of Pods is right, but one cannot be adopted or released
	ReasonInvalid      = "InvalidReplicaSet" // nothing can be done until the spec changes
)

// calculateStatus returns the status for the owned active Pods. cause is the error that
// kept Pods from being created or deleted, or nil.
func calculateStatus(in Input, owned []*corev1.Pod, cause error) appsv1.ReplicaSetStatus {
	rs := in.ReplicaSet
	status := appsv1.ReplicaSetStatus{
		Replicas:           int32(len(owned)),
		ObservedGeneration: rs.Generation,
		Conditions:         failureCondition(rs, failureReason(len(owned)-int(Replicas(rs))), cause, in.Now),
	}
	template := labels.SelectorFromSet(rs.Spec.Template.Labels)
	for _, pod := range owned {
		if template.Matches(labels.Set(pod.Labels)) {
			status.FullyLabeledReplicas++
		}
		ready := readyCondition(pod)
		if ready == nil {
			continue
		}
		status.ReadyReplicas++
		if availableIn(ready, rs.Spec.MinReadySeconds, in.Now) <= 0 {
			status.AvailableReplicas++
		}
	}
	if !in.OmitTerminating {
		count := countTerminating(in)
		status.TerminatingReplicas = &count
	}
	return status
}

// countTerminating counts the ReplicaSet's terminating Pods. Nobody adopts such a Pod,
// so only Pods that the ReplicaSet controls count.
func countTerminating(in Input) int32 {
	selector, err := metav1.LabelSelectorAsSelector(in.ReplicaSet.Spec.Selector)
	if err != nil {
		return 0
	}
	count := int32(0)
	for _, pod := range in.Pods {
		if terminating(pod) && metav1.IsControlledBy(pod, in.ReplicaSet) && selector.Matches(labels.Set(pod.Labels)) {
			count++
		}
	}
	return count
}

// failureCondition returns the conditions with ReplicaFailure added if there is a
// cause, or removed if there is none. It keeps an existing ReplicaFailure, whose time
// shows when the failures began, unless an invalid spec has become valid or the reverse.
func failureCondition(rs *appsv1.ReplicaSet, reason string, cause error, now time.Time) []appsv1.ReplicaSetCondition {
	conditions := slices.Clone(rs.Status.Conditions)
	isFailure := func(c appsv1.ReplicaSetCondition) bool { return c.Type == appsv1.ReplicaSetReplicaFailure }
	if cause == nil {
		return slices.DeleteFunc(conditions, isFailure)
	}
	if i := slices.IndexFunc(conditions, isFailure); i >= 0 {
		if (conditions[i].Reason == ReasonInvalid) == (reason == ReasonInvalid) {
			return conditions
		}
		conditions = slices.Delete(conditions, i, i+1)
	}
	return append(conditions, appsv1.ReplicaSetCondition{
		Type:               appsv1.ReplicaSetReplicaFailure,
		Status:             corev1.ConditionTrue,
		LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
		Reason:             reason,
		Message:            cause.Error(),
	})
}

func failureReason(excess int) string {
	switch {
	case excess < 0:
		return ReasonFailedCreate
	case excess > 0:
		return ReasonFailedDelete
	}
	return ReasonFailedAdopt
}
