package rollout

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

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
