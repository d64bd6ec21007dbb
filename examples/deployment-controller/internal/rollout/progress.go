package rollout

import (
	"fmt"
	"math"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// rolloutStatus is calculateStatus during a rollout, where progress counts and
// the ReplicaSets' failures show.
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

// hasDeadline tells whether the Deployment cares for progress. The largest
// number stands for no deadline.
func hasDeadline(d *appsv1.Deployment) bool {
	return d.Spec.ProgressDeadlineSeconds != nil && *d.Spec.ProgressDeadlineSeconds != math.MaxInt32
}

// rolledOut tells whether the last rollout came to its end. What happens to
// Pods after that is no progress and no lack of it.
func rolledOut(status *appsv1.DeploymentStatus) bool {
	current := condition(status, appsv1.DeploymentProgressing)
	return current != nil && current.Reason == ReasonReplicaSetAvailable && status.Replicas == status.UpdatedReplicas
}

// estimateProgress sets the condition Progressing in the new status, judged
// against the one that d has.
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
		// The deadline counts from here, so the time is renewed even if this is
		// what the condition says already.
		refreshCondition(status, becomes(corev1.ConditionTrue, ReasonReplicaSetUpdated, " is progressing."))
	case timedOut(d, status, now):
		setCondition(status, becomes(corev1.ConditionFalse, ReasonTimedOut, " made no progress within the deadline."))
	}
}

// complete tells whether all Pods are of the new ReplicaSet and available, and
// no others are left.
func complete(d *appsv1.Deployment, status *appsv1.DeploymentStatus) bool {
	replicas := replicasOf(d)
	return status.UpdatedReplicas == replicas &&
		status.Replicas == replicas &&
		status.AvailableReplicas == replicas &&
		status.ObservedGeneration >= d.Generation
}

// progressed tells whether there are more new Pods, fewer old ones, or more
// that work.
func progressed(before, after *appsv1.DeploymentStatus) bool {
	return after.UpdatedReplicas > before.UpdatedReplicas ||
		after.Replicas-after.UpdatedReplicas < before.Replicas-before.UpdatedReplicas ||
		after.ReadyReplicas > before.ReadyReplicas ||
		after.AvailableReplicas > before.AvailableReplicas
}

// timedOut tells whether the last progress is longer ago than the deadline. It
// never is before anything progressed, nor after the rollout has ended.
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

// untilDeadline returns how long from now the deadline is: 0 when less than a
// second or over, and -1 when there is none to wait for.
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

// requeueForDeadline returns when to look again whether progress was made, or 0
// for never. A second is added, as the deadline must be over by then and stored
// times are cut to seconds.
func requeueForDeadline(d *appsv1.Deployment, status *appsv1.DeploymentStatus, now time.Time) time.Duration {
	current := condition(status, appsv1.DeploymentProgressing)
	left := untilDeadline(d, status, now)
	if left < 0 || current.Reason == ReasonReplicaSetAvailable {
		return 0
	}
	return left + time.Second
}

// markPause notes in the condition Progressing that the Deployment was paused
// or resumed. The deadline counts anew from there: no progress is no fault of a
// rollout that was held. One that failed before keeps saying so.
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
