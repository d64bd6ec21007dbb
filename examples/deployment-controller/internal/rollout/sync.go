package rollout

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// Input is the view of one sync, all at one revision. The objects may be shared; Sync
// does not modify them.
type Input struct {
	// Deployment is the Deployment to sync.
	Deployment *appsv1.Deployment
	// ReplicaSets must include all ReplicaSets in the namespace that the Deployment owns
	// or that match its selector. Sync ignores others.
	ReplicaSets []*appsv1.ReplicaSet
	// Pods returns the Pods controlled by a ReplicaSet, including terminating ones. The
	// ReplicaSet may be a copy of one in ReplicaSets. Defaults to no Pods.
	Pods func(rs *appsv1.ReplicaSet) []*corev1.Pod
	// NameTaken returns the ReplicaSet with that name in the namespace, whoever owns
	// it, or nil. Defaults to a search in ReplicaSets.
	NameTaken func(name string) *appsv1.ReplicaSet
	// Now is the current time.
	Now time.Time
}

// Plan has the objects to write. The zero Plan writes nothing.
type Plan struct {
	// Create is a new ReplicaSet, or nil.
	Create *appsv1.ReplicaSet
	// Update are copies of ReplicaSets with another size, annotations or owner.
	Update []*appsv1.ReplicaSet
	// Delete are old ReplicaSets beyond the history limit, to be deleted on
	// condition of their uid and resourceVersion. None of them is in Update.
	Delete []*appsv1.ReplicaSet
	// Deployment is a copy with its new status and revision annotation, or nil if they
	// have not changed.
	Deployment *appsv1.Deployment
	// RequeueAfter is the time after which to sync again even if nothing changes. Zero
	// means never.
	RequeueAfter time.Duration
	// Events are events about the Deployment, to record after the Plan is written.
	Events []Event
}

// Event is something that happened to the Deployment.
type Event struct {
	// Type is corev1.EventTypeNormal or EventTypeWarning.
	Type    string
	Reason  string
	Message string
}

// Sync plans one step of one Deployment: it creates or enlarges the new ReplicaSet, or
// shrinks old ones. The next sync, which sees the result, plans the next step.
//
// Sync returns an error for an invalid Deployment: a bound, the strategy or the
// selector is malformed, or the Deployment would not own a new ReplicaSet.
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

// CreateFailed returns the Plan to write when the ReplicaSet in the Plan of Sync could
// not be created because of cause. If only its name was taken, call Sync again instead.
func CreateFailed(in Input, name string, cause error) Plan {
	message := fmt.Sprintf("ReplicaSet %q could not be created: %v", name, cause)
	d := in.Deployment.DeepCopy()
	if hasDeadline(d) {
		notProgressing(d, ReasonReplicaSetCreateError, message, in.Now)
	}
	return warning(in, d, ReasonReplicaSetCreateError, message)
}

// Refuse returns the Plan to write when Sync returned the error cause: the Deployment is
// invalid, and nothing happens until its spec changes. The numbers in its status stay as
// they are.
func Refuse(in Input, cause error) Plan {
	d := in.Deployment.DeepCopy()
	d.Status.ObservedGeneration = d.Generation
	notProgressing(d, ReasonInvalid, cause.Error(), in.Now)
	return warning(in, d, ReasonInvalid, cause.Error())
}

// notProgressing sets the condition Progressing. A condition with another message is
// another failure.
func notProgressing(d *appsv1.Deployment, reason, message string, now time.Time) {
	set := setCondition
	if c := condition(&d.Status, appsv1.DeploymentProgressing); c != nil && c.Message != message {
		set = refreshCondition
	}
	set(&d.Status, newCondition(appsv1.DeploymentProgressing, corev1.ConditionFalse, reason, message, now))
}

// warning returns a Plan with an Event, and with d if it has changed.
func warning(in Input, d *appsv1.Deployment, reason, message string) Plan {
	plan := Plan{Events: []Event{{Type: corev1.EventTypeWarning, Reason: reason, Message: message}}}
	if changed(in.Deployment, d) {
		plan.Deployment = d
	}
	return plan
}

// selectsAll reports whether the selector is empty. Such a Deployment would claim all
// ReplicaSets, so Sync does nothing for it.
func selectsAll(d *appsv1.Deployment) bool {
	selector := d.Spec.Selector
	return selector == nil || len(selector.MatchLabels) == 0 && len(selector.MatchExpressions) == 0
}

// refuseSelector reports the empty selector once for each generation.
func refuseSelector(d *appsv1.Deployment) Plan {
	if d.Status.ObservedGeneration >= d.Generation {
		return Plan{}
	}
	refused := d.DeepCopy()
	refused.Status.ObservedGeneration = d.Generation
	return Plan{Deployment: refused, Events: []Event{{
		Type: corev1.EventTypeWarning, Reason: ReasonSelectingAll,
		Message: "The selector is empty and would select everything. Nothing happens until it selects something.",
	}}}
}
