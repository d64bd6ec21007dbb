package rollout

import (
	"fmt"
	"math"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// rolloutStatus is calculateStatus plus the conditions Progressing and ReplicaFailure.
func rolloutStatus(d *appsv1.Deployment, l limits, newRS *appsv1.ReplicaSet, old []*appsv1.ReplicaSet, now time.Time) appsv1.DeploymentStatus {
	status := calculateStatus(d, l, newRS, old, now)
	switch {
	case !hasDeadline(d):
		removeCondition(&status, appsv1.DeploymentProgressing)
	case !rolledOut(&status):
		estimateProgress(d, &status, newRS, now)
	}
	if failure := replicaFailure(newRS, old); failure != nil {
		setCondition(&status, *failure)
	} else {
		removeCondition(&status, appsv1.DeploymentReplicaFailure)
	}
	return status
}

// hasDeadline reports whether the Deployment has a progress deadline. The largest number
// means none.
func hasDeadline(d *appsv1.Deployment) bool {
	return d.Spec.ProgressDeadlineSeconds != nil && *d.Spec.ProgressDeadlineSeconds != math.MaxInt32
}

// rolledOut reports whether the last rollout is complete. Later changes of Pods are
// neither progress nor a lack of it.
func rolledOut(status *appsv1.DeploymentStatus) bool {
	current := condition(status, appsv1.DeploymentProgressing)
	return current != nil && current.Reason == ReasonReplicaSetAvailable && status.Replicas == status.UpdatedReplicas
}

// estimateProgress sets the condition Progressing by comparing the new status with the
// status of d.
func estimateProgress(d *appsv1.Deployment, status *appsv1.DeploymentStatus, newRS *appsv1.ReplicaSet, now time.Time) {
	subject := fmt.Sprintf("Deployment %q", d.Name)
	if newRS != nil {
		subject = fmt.Sprintf("ReplicaSet %q", newRS.Name)
	}
	becomes := func(state corev1.ConditionStatus, reason, what string) appsv1.DeploymentCondition {
		return newCondition(appsv1.DeploymentProgressing, state, reason, subject+what, now)
	}
	switch {
	case complete(d, status):
		setCondition(status, becomes(corev1.ConditionTrue, ReasonReplicaSetAvailable, " is rolled out."))
	case progressed(&d.Status, status):
		// The deadline counts from now, so refresh the time of an equal condition too.
		refreshCondition(status, becomes(corev1.ConditionTrue, ReasonReplicaSetUpdated, " is progressing."))
	case timedOut(d, status, now):
		setCondition(status, becomes(corev1.ConditionFalse, ReasonTimedOut, " made no progress within the deadline."))
	}
}

// complete reports whether all Pods belong to the new ReplicaSet and are available, and
// no others are left.
func complete(d *appsv1.Deployment, status *appsv1.DeploymentStatus) bool {
	replicas := replicasOf(d)
	return status.UpdatedReplicas == replicas &&
		status.Replicas == replicas &&
		status.AvailableReplicas == replicas &&
		status.ObservedGeneration >= d.Generation
}

// progressed reports whether there are more new Pods, fewer old ones, or more ready or
// available ones.
func progressed(before, after *appsv1.DeploymentStatus) bool {
	return after.UpdatedReplicas > before.UpdatedReplicas ||
		int64(after.Replicas)-int64(after.UpdatedReplicas) < int64(before.Replicas)-int64(before.UpdatedReplicas) ||
		after.ReadyReplicas > before.ReadyReplicas ||
		after.AvailableReplicas > before.AvailableReplicas
}

// timedOut reports whether the time since the last progress exceeds the deadline. It
// returns false before the first progress and after the end of the rollout.
func timedOut(d *appsv1.Deployment, status *appsv1.DeploymentStatus, now time.Time) bool {
	current := condition(status, appsv1.DeploymentProgressing)
	if !hasDeadline(d) || current == nil || current.Reason == ReasonReplicaSetAvailable {
		return false
	}
	return current.Reason == ReasonTimedOut || deadline(d, current).Before(now)
}

func deadline(d *appsv1.Deployment, current *appsv1.DeploymentCondition) time.Time {
	return current.LastUpdateTime.Add(time.Duration(*d.Spec.ProgressDeadlineSeconds) * time.Second)
}

// untilDeadline returns the time until the deadline: 0 if it is less than a second away
// or over, and -1 if there is no deadline to wait for.
func untilDeadline(d *appsv1.Deployment, status *appsv1.DeploymentStatus, now time.Time) time.Duration {
	current := condition(status, appsv1.DeploymentProgressing)
	if !hasDeadline(d) || current == nil || current.Reason == ReasonTimedOut || complete(d, status) {
		return -1
	}
	left := deadline(d, current).Sub(now)
	if left < time.Second {
		return 0
	}
	return left
}

// requeueForDeadline returns the time after which to check the deadline, or 0 for never.
// It adds a second, because the deadline must be over by then and stored times are cut
// to seconds.
func requeueForDeadline(d *appsv1.Deployment, status *appsv1.DeploymentStatus, now time.Time) time.Duration {
	current := condition(status, appsv1.DeploymentProgressing)
	left := untilDeadline(d, status, now)
	if left < 0 || current.Reason == ReasonReplicaSetAvailable {
		return 0
	}
	return min(left, math.MaxInt64-time.Second) + time.Second
}

// markPause records in the condition Progressing that the Deployment was paused or
// resumed. The deadline then starts over, because a paused rollout cannot progress. A
// rollout that has already timed out keeps its condition.
func markPause(d *appsv1.Deployment, now time.Time) {
	current := condition(&d.Status, appsv1.DeploymentProgressing)
	if !hasDeadline(d) || current != nil && current.Reason == ReasonTimedOut {
		return
	}
	marked := current != nil && current.Reason == ReasonPaused
	switch {
	case d.Spec.Paused && !marked:
		setCondition(&d.Status, newCondition(appsv1.DeploymentProgressing, corev1.ConditionUnknown,
			ReasonPaused, "The rollout is paused.", now))
	case !d.Spec.Paused && marked:
		setCondition(&d.Status, newCondition(appsv1.DeploymentProgressing, corev1.ConditionUnknown,
			ReasonResumed, "The rollout is resumed.", now))
	}
}
