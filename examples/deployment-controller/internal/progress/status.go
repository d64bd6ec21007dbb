package progress

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// What stands before the reason of a Progressing condition that is true or false.
const (
	progressing    = "Progressing: "
	notProgressing = "Not progressing: "
)

// deadlineExceeded is the reason of a Progressing condition that was given up.
const deadlineExceeded = "ProgressDeadlineExceeded"

// Complete tells whether the controller has seen the Deployment as it is and has finished it: all Pods are of the current
// template, available, and as many as asked for.
func Complete(d *appsv1.Deployment) bool {
	want, s := desired(d.Spec.Replicas), &d.Status
	return observed(d) && s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want
}

// Failed tells whether the Deployment made no progress within its deadline, and the reason given for it. It says nothing
// of a spec that the controller has not seen yet. A Deployment that has failed can still get complete.
func Failed(d *appsv1.Deployment) (reason string, failed bool) {
	c := condition(d, appsv1.DeploymentProgressing)
	if observed(d) && c != nil && c.Status == corev1.ConditionFalse && c.Reason == deadlineExceeded {
		return c.Reason, true
	}
	return "", false
}

// observed tells whether the status is about the spec as it is now.
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

// desired returns a number of replicas, which is 1 if it is left open.
func desired(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}

// conditionText says in a few words how a Deployment is doing.
func conditionText(d *appsv1.Deployment) string {
	text := progressText(d)
	if c := condition(d, appsv1.DeploymentReplicaFailure); c != nil && c.Status == corev1.ConditionTrue {
		text += ", ReplicaFailure: " + c.Reason
	}
	return printable(text)
}

func progressText(d *appsv1.Deployment) string {
	c := condition(d, appsv1.DeploymentProgressing)
	switch {
	case d.DeletionTimestamp != nil:
		return "Deleting"
	case !observed(d):
		return "Waiting for the controller"
	case c == nil && Complete(d):
		return "Complete"
	case c == nil: // Without a deadline there is no such condition.
		return "Progressing"
	case c.Status == corev1.ConditionTrue:
		return progressing + c.Reason
	case c.Status == corev1.ConditionFalse:
		return notProgressing + c.Reason
	}
	return c.Reason // Paused, or just resumed.
}
