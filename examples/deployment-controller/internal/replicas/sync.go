package replicas

import (
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/replicas/claim"
)

// DefaultBurst is the default of [Input.Burst].
const DefaultBurst = 500

// Input is the view of one sync, all at one revision. The objects may be shared; Sync
// does not modify them.
type Input struct {
	// ReplicaSet is the ReplicaSet to sync.
	ReplicaSet *appsv1.ReplicaSet
	// Pods must include all Pods in the namespace that the ReplicaSet owns or that
	// match its selector. Sync ignores others.
	Pods []*corev1.Pod
	// Related are the Pods of all ReplicaSets with the same controller, including this
	// one. Sync first deletes Pods on nodes with many related Pods. Defaults to the
	// ReplicaSet's own Pods.
	Related []*corev1.Pod
	// Now is the current time.
	Now time.Time
	// Burst bounds the number of Pods to create or to delete. Defaults to
	// DefaultBurst.
	Burst int
	// OmitTerminating leaves status.terminatingReplicas unset, like a cluster without
	// that feature.
	OmitTerminating bool
}

// Plan has the objects to write. The zero Plan writes nothing.
type Plan struct {
	// Create are Pods to create. They have a generateName and no name.
	Create []*corev1.Pod
	// Delete are Pods to delete, on condition of their uid. They may be the
	// objects passed in.
	Delete []*corev1.Pod
	// Update are copies of adopted and released Pods. None is also in Delete.
	Update []*corev1.Pod
	// ReplicaSet is a copy with a new status, or nil if the status has not changed.
	ReplicaSet *appsv1.ReplicaSet
	// RequeueAfter is the time until a ready Pod becomes available. Zero means that no
	// Pod is waiting for that.
	RequeueAfter time.Duration
}

// Sync plans the next step of one ReplicaSet. It returns an error for an invalid
// ReplicaSet: the selector is empty or malformed, or it does not match the template's
// labels, so that the ReplicaSet would create Pods without end.
func Sync(in Input) (Plan, error) {
	owned, plan, err := in.claim()
	if err != nil {
		return Plan{}, err
	}
	if in.ReplicaSet.DeletionTimestamp == nil {
		plan.manage(in, owned)
	}
	plan.report(in, owned, nil)
	plan.RequeueAfter = nextAvailable(owned, in.ReplicaSet.Spec.MinReadySeconds, in.Now)
	return plan, nil
}

// Failure is what to tell about a ReplicaSet whose Plan was not written.
type Failure struct {
	// Reason is the reason of the condition ReplicaFailure, and of an Event.
	Reason string
	// ReplicaSet is a copy with a new status, or nil if the status has not changed.
	ReplicaSet *appsv1.ReplicaSet
}

// Failed returns the Failure to report when the Plan of Sync could not be written because
// of cause. The next Sync plans to remove the condition.
func Failed(in Input, cause error) Failure {
	owned, _, err := in.claim()
	if err != nil {
		return Refuse(in, err)
	}
	var plan Plan
	plan.report(in, owned, cause)
	return Failure{Reason: failureReason(len(owned) - int(Replicas(in.ReplicaSet))), ReplicaSet: plan.ReplicaSet}
}

// Refuse returns the Failure to report when Sync returned the error cause: the ReplicaSet
// is invalid. The numbers in its status stay as they are.
func Refuse(in Input, cause error) Failure {
	rs := in.ReplicaSet.DeepCopy()
	rs.Status.ObservedGeneration = rs.Generation
	rs.Status.Conditions = failureCondition(rs, ReasonInvalid, cause, in.Now)
	f := Failure{Reason: ReasonInvalid}
	if !equality.Semantic.DeepEqual(in.ReplicaSet.Status, rs.Status) {
		f.ReplicaSet = rs
	}
	return f
}

// claim returns the active Pods of the ReplicaSet, and a Plan with adoptions and
// releases. It leaves terminal Pods and Pods being deleted with their owners.
func (in Input) claim() ([]*corev1.Pod, Plan, error) {
	rs := in.ReplicaSet
	selector, err := selectorOf(rs)
	if err != nil {
		return nil, Plan{}, fmt.Errorf("replicaset %s/%s: %w", rs.Namespace, rs.Name, err)
	}
	claimed := claim.Of(rs, kind(), selector, filter(in.Pods, Active))
	return claimed.Owned, Plan{Update: append(claimed.Adopted, claimed.Released...)}, nil
}

func selectorOf(rs *appsv1.ReplicaSet) (labels.Selector, error) {
	selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
	switch {
	case err != nil:
		return nil, fmt.Errorf("selector: %w", err)
	case rs.Spec.Selector == nil || selector.Empty():
		return nil, errors.New("the selector is empty")
	case !selector.Matches(labels.Set(rs.Spec.Template.Labels)):
		return nil, errors.New("the selector does not match the template's labels")
	}
	return selector, nil
}

// manage moves the number of Pods towards spec.replicas.
func (p *Plan) manage(in Input, owned []*corev1.Pod) {
	burst := in.Burst
	if burst <= 0 {
		burst = DefaultBurst
	}
	excess := len(owned) - int(Replicas(in.ReplicaSet))
	for range min(-excess, burst) {
		p.Create = append(p.Create, newPod(in.ReplicaSet))
	}
	if excess <= 0 {
		return
	}
	related := in.Related
	if related == nil {
		related = owned
	}
	p.remove(podsToDelete(owned, related, min(excess, burst), in.ReplicaSet.Spec.MinReadySeconds, in.Now))
}

// remove plans to delete the victims. It drops their updates, because a transaction
// writes each key once.
func (p *Plan) remove(victims []*corev1.Pod) {
	p.Delete = victims
	p.Update = filter(p.Update, func(pod *corev1.Pod) bool { return !slices.Contains(victims, pod) })
}

// report plans a changed status. The status counts the Pods in the input; the next
// status counts the Pods that this Plan creates and deletes.
func (p *Plan) report(in Input, owned []*corev1.Pod, cause error) {
	status := calculateStatus(in, owned, cause)
	if equality.Semantic.DeepEqual(in.ReplicaSet.Status, status) {
		return
	}
	p.ReplicaSet = in.ReplicaSet.DeepCopy()
	p.ReplicaSet.Status = status
}
