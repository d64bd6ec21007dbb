package rollout

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// newCondition returns a condition with the time now, cut to whole seconds as in its
// stored form.
func newCondition(kind appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, message string, now time.Time) appsv1.DeploymentCondition {
	at := metav1.NewTime(now.Truncate(time.Second))
	return appsv1.DeploymentCondition{
		Type: kind, Status: status, Reason: reason, Message: message, LastUpdateTime: at, LastTransitionTime: at,
	}
}

// condition returns a copy of the condition of the given kind, or nil.
func condition(status *appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for _, c := range status.Conditions {
		if c.Type == kind {
			return &c
		}
	}
	return nil
}

// setCondition replaces the condition of the same kind. If status and reason are equal,
// it keeps the old one, including times and message.
func setCondition(status *appsv1.DeploymentStatus, c appsv1.DeploymentCondition) {
	current := condition(status, c.Type)
	if current != nil && current.Status == c.Status && current.Reason == c.Reason {
		return
	}
	refreshCondition(status, c)
}

// refreshCondition is like setCondition, but also replaces an equal condition. It keeps
// the time of the last transition if the status is the same.
func refreshCondition(status *appsv1.DeploymentStatus, c appsv1.DeploymentCondition) {
	if current := condition(status, c.Type); current != nil && current.Status == c.Status {
		c.LastTransitionTime = current.LastTransitionTime
	}
	removeCondition(status, c.Type)
	status.Conditions = append(status.Conditions, c)
}

// removeCondition replaces the slice and does not modify the old one, which may be
// shared.
func removeCondition(status *appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType) {
	status.Conditions = slices.DeleteFunc(slices.Clone(status.Conditions), func(c appsv1.DeploymentCondition) bool {
		return c.Type == kind
	})
}

// replicaFailure returns the ReplicaFailure condition of the first ReplicaSet that has
// one, starting with the new one, or nil.
func replicaFailure(newRS *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) *appsv1.DeploymentCondition {
	if newRS != nil {
		old = slices.Insert(slices.Clone(old), 0, newRS)
	}
	for _, rs := range old {
		for _, c := range rs.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure {
				return &appsv1.DeploymentCondition{
					Type: appsv1.DeploymentReplicaFailure, Status: c.Status, Reason: c.Reason, Message: c.Message,
					LastUpdateTime: c.LastTransitionTime, LastTransitionTime: c.LastTransitionTime,
				}
			}
		}
	}
	return nil
}

// calculateStatus computes the Deployment's status from its ReplicaSets. It keeps the
// conditions and updates Available.
func calculateStatus(d *appsv1.Deployment, l limits, newRS *appsv1.ReplicaSet, old []*appsv1.ReplicaSet, now time.Time) appsv1.DeploymentStatus {
	all := withNew(newRS, old)
	status := appsv1.DeploymentStatus{
		ObservedGeneration:  d.Generation,
		Replicas:            sum(all, statusReplicas),
		ReadyReplicas:       sum(all, ready),
		AvailableReplicas:   sum(all, available),
		TerminatingReplicas: terminating(all),
		CollisionCount:      d.Status.CollisionCount,
		Conditions:          slices.Clone(d.Status.Conditions),
	}
	if newRS != nil {
		status.UpdatedReplicas = newRS.Status.Replicas
	}
	// During a scale-down more Pods may be available than desired.
	status.UnavailableReplicas = max(0, sum(all, size)-status.AvailableReplicas)
	setCondition(&status, availability(l, status.AvailableReplicas, now))
	return status
}

func availability(l limits, available int32, now time.Time) appsv1.DeploymentCondition {
	if available >= l.replicas-l.unavailable {
		return newCondition(appsv1.DeploymentAvailable, corev1.ConditionTrue, ReasonAvailable,
			"At least the minimum of Pods is available.", now)
	}
	return newCondition(appsv1.DeploymentAvailable, corev1.ConditionFalse, ReasonUnavailable,
		"Fewer than the minimum of Pods are available.", now)
}
