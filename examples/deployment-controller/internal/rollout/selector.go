package rollout

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// selectsAll tells whether the selector is empty. To a Deployment with it all
// ReplicaSets would seem its own, so it does nothing at all.
func selectsAll(d *appsv1.Deployment) bool {
	selector := d.Spec.Selector
	return selector == nil || len(selector.MatchLabels) == 0 && len(selector.MatchExpressions) == 0
}

// refuseSelector says so once for each version of the Deployment.
func refuseSelector(d *appsv1.Deployment) Plan {
	if d.Status.ObservedGeneration >= d.Generation {
		return Plan{}
	}
	refused := d.DeepCopy()
	refused.Status.ObservedGeneration = d.Generation
	return Plan{Deployment: refused, Events: []Event{{
		Type: corev1.EventTypeWarning, Reason: ReasonSelectingAll,
		Message: "The selector is empty and would select everything. Nothing is done until it selects something.",
	}}}
}
