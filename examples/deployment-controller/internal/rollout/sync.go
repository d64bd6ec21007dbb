package rollout

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// Input is what one sync sees: everything at one revision. Objects are shared
// and are not modified.
type Input struct {
	// Deployment is the one to sync.
	Deployment *appsv1.Deployment
	// ReplicaSets are all in the namespace that the selector matches or that the
	// Deployment owns. Others are ignored.
	ReplicaSets []*appsv1.ReplicaSet
	// Pods returns the Pods controlled by a ReplicaSet, terminating ones
	// included. The ReplicaSet may be a copy of one in ReplicaSets. Defaults to
	// there being none.
	Pods func(rs *appsv1.ReplicaSet) []*corev1.Pod
	// NameTaken returns the ReplicaSet of that name in the namespace, whosever
	// it is, or nil. Defaults to a search in ReplicaSets.
	NameTaken func(name string) *appsv1.ReplicaSet
	// Now is the current time.
	Now time.Time
}

// Plan is what to write. The zero Plan is: nothing.
type Plan struct {
	// Create is a new ReplicaSet, or nil.
	Create *appsv1.ReplicaSet
	// Update are copies of ReplicaSets with another size, annotations or owner.
	Update []*appsv1.ReplicaSet
	// Delete are old ReplicaSets beyond the history limit, to be deleted on
	// condition of their uid and resourceVersion. None of them is in Update.
	Delete []*appsv1.ReplicaSet
	// Deployment is a copy with its new status and revision annotation, or nil
	// when they are as they were.
	Deployment *appsv1.Deployment
	// RequeueAfter is when to sync again though nothing changes. Zero means
	// never.
	RequeueAfter time.Duration
	// Events are to be recorded about the Deployment once the rest is written.
	Events []Event
}

// Event is something that happened to the Deployment.
type Event struct {
	// Type is corev1.EventTypeNormal or EventTypeWarning.
	Type    string
	Reason  string
	Message string
}

// Sync decides the next step of one Deployment. It takes one step: it creates
// or enlarges the new ReplicaSet, or makes old ones smaller, and leaves the
// next to the sync that sees the result.
//
// It fails when the Deployment is invalid: a bound, the strategy or the
// selector cannot be understood, or a new ReplicaSet would not be its own.
func Sync(in Input) (Plan, error) {
	if selectsAll(in.Deployment) {
		return refuseSelector(in.Deployment), nil
	}
	plan, err := decide(in)
	if err != nil {
		return Plan{}, fmt.Errorf("deployment %s/%s: %w", in.Deployment.Namespace, in.Deployment.Name, err)
	}
	return plan, nil
}

func decide(in Input) (Plan, error) {
	s, err := begin(in)
	if err != nil {
		return Plan{}, err
	}
	switch {
	case s.d.DeletionTimestamp != nil:
		s.report(calculateStatus)
	case s.sharesOut():
		s.resizeAll(shareOut(s.limits, s.d.Status.Replicas, s.newRS, s.old))
		s.report(calculateStatus)
		if s.d.Spec.Paused {
			s.cleanUp()
		}
	default:
		if err := s.roll(); err != nil {
			return Plan{}, err
		}
		s.report(rolloutStatus)
		s.requeue(requeueForDeadline(s.d, &s.d.Status, in.Now))
		if complete(s.d, &s.d.Status) {
			s.cleanUp()
		}
	}
	return s.finish(), nil
}

// CreateFailed is the Plan to write instead of the one that Sync made from the
// same Input, when the ReplicaSet in its Create could not be created because of
// cause. That its name is taken is no such cause: sync again.
func CreateFailed(in Input, name string, cause error) Plan {
	message := fmt.Sprintf("ReplicaSet %q could not be created: %v", name, cause)
	plan := Plan{Events: []Event{{Type: corev1.EventTypeWarning, Reason: ReasonReplicaSetCreateError, Message: message}}}
	if !hasDeadline(in.Deployment) {
		return plan
	}
	d := in.Deployment.DeepCopy()
	setCondition(&d.Status, newCondition(appsv1.DeploymentProgressing, corev1.ConditionFalse,
		ReasonReplicaSetCreateError, message, in.Now))
	if changed(in.Deployment, d) {
		plan.Deployment = d
	}
	return plan
}

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
