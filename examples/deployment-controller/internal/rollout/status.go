package rollout

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// calculateStatus adds up the status of the Deployment from its ReplicaSets'.
// Conditions are the present ones with Available brought up to date.
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
	// While scaling down more may be available than there are to be.
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
