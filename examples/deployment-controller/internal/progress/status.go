package progress

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
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
	return observed(d) && s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want
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

// conditionText describes the state of a Deployment in a few words.
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
