package progress

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// Reasons of a false Progressing condition.
const (
	deadlineExceeded = "ProgressDeadlineExceeded"
	createError      = "ReplicaSetCreateError"
	invalidSpec      = "InvalidDeployment" // nothing happens until the spec changes
)

// Prefixes of the reason of a true or a false Progressing condition.
const (
	progressing    = "Progressing: "
	notProgressing = "Not progressing: "
)

// Complete reports whether the controller has seen the current spec and finished the rollout: the desired number of Pods
// is available, and all have the current template.
func Complete(d *appsv1.Deployment) bool {
	want, s := desired(d.Spec.Replicas), &d.Status
	return observed(d) && !invalid(d) && s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want
}

// observed reports whether the status belongs to the current spec.
func observed(d *appsv1.Deployment) bool {
	return d.Status.ObservedGeneration >= d.Generation
}

func condition(d *appsv1.Deployment, kind appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range d.Status.Conditions {
		if d.Status.Conditions[i].Type == kind {
			return &d.Status.Conditions[i]
		}
	}
	return nil
}

// desired returns a number of replicas, or its default 1.
func desired(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}

// invalid reports whether the controller can do nothing for the Deployment. Its status then counts what is left of an
// earlier spec.
func invalid(d *appsv1.Deployment) bool {
	c := condition(d, appsv1.DeploymentProgressing)
	return selectsAll(d) || c != nil && c.Status == corev1.ConditionFalse && c.Reason == invalidSpec
}

// selectsAll reports whether the selector is empty. The controller leaves such a Deployment alone.
func selectsAll(d *appsv1.Deployment) bool {
	selector := d.Spec.Selector
	return selector == nil || len(selector.MatchLabels) == 0 && len(selector.MatchExpressions) == 0
}

// conditionText describes the state of a Deployment in a few words, and what has failed in more.
func conditionText(d *appsv1.Deployment) string {
	text := progressText(d)
	if c := condition(d, appsv1.DeploymentReplicaFailure); c != nil && c.Status == corev1.ConditionTrue {
		text += ", ReplicaFailure: " + withMessage(c)
	}
	return text
}

func progressText(d *appsv1.Deployment) string {
	c := condition(d, appsv1.DeploymentProgressing)
	switch {
	case d.DeletionTimestamp != nil:
		return "Deleting"
	case c != nil && c.Status == corev1.ConditionFalse && c.Reason == createError: // The controller has not observed the spec.
		return notProgressing + withMessage(c)
	case !observed(d):
		return "Waiting for the controller"
	case selectsAll(d):
		return notProgressing + "the selector is empty"
	case c == nil && Complete(d):
		return "Complete"
	case c == nil: // Without a deadline there is no such condition.
		return "Progressing"
	case c.Status == corev1.ConditionTrue:
		return progressing + c.Reason
	case c.Status == corev1.ConditionFalse && c.Reason == invalidSpec:
		return notProgressing + withMessage(c)
	case c.Status == corev1.ConditionFalse:
		return notProgressing + c.Reason
	}
	return c.Reason // Paused, or just resumed.
}

// maxMessage is how many columns of a condition's message are shown.
const maxMessage = 200

func withMessage(c *appsv1.DeploymentCondition) string {
	if c.Message == "" {
		return c.Reason
	}
	return c.Reason + ": " + truncate(c.Message, maxMessage)
}
