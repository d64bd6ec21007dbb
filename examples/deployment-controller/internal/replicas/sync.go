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

// DefaultBurst bounds how many Pods one sync creates or deletes.
const DefaultBurst = 500

// Input is what one sync sees: everything at one revision. The objects are
// shared and are not modified.
type Input struct {
	// ReplicaSet is the one to sync.
	ReplicaSet *appsv1.ReplicaSet
	// Pods are those of the namespace that the selector matches or that the
	// ReplicaSet owns. Others are ignored.
	Pods []*corev1.Pod
	// Related are the Pods of all ReplicaSets with the same controller, this
	// one's included: of two Pods the one on the node with more of them goes
	// first. Defaults to the ReplicaSet's own.
	Related []*corev1.Pod
	// Now is the current time.
	Now time.Time
	// Burst bounds how many Pods are created or deleted. Defaults to
	// DefaultBurst.
	Burst int
	// OmitTerminating leaves status.terminatingReplicas out, as a cluster does
	// that has not switched it on.
	OmitTerminating bool
}

// Plan is what to write. The zero Plan is: nothing.
type Plan struct {
	// Create are Pods to create. They have a generateName and no name.
	Create []*corev1.Pod
	// Delete are Pods to delete, on condition of their uid. They may be the
	// objects passed in.
	Delete []*corev1.Pod
	// Update are copies of Pods that were adopted or released. None of them is
	// in Delete.
	Update []*corev1.Pod
	// ReplicaSet is a copy with a new status, or nil when the status is as it
	// was.
	ReplicaSet *appsv1.ReplicaSet
	// RequeueAfter is when a Pod becomes available with nothing else changing.
	// Zero means never.
	RequeueAfter time.Duration
}

// Sync decides the next step of one ReplicaSet. It fails when the ReplicaSet
// is invalid: its selector selects everything or cannot be parsed, or its
// template's labels do not match it, so that it would create Pods without end.
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

// Failed is the Plan to write instead of the one that Sync made from the same
// Input, when its Pods could not be created or deleted because of cause: only
// the status, with the condition ReplicaFailure. The next Sync takes the
// condition back, together with what it plans.
func Failed(in Input, cause error) (Plan, error) {
	owned, _, err := in.claim()
	if err != nil {
		return Plan{}, err
	}
	var plan Plan
	plan.report(in, owned, cause)
	return plan, nil
}

// claim returns the active Pods of the ReplicaSet and a Plan that makes them
// so. Pods that are done or being deleted are left with whom they are.
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

// manage brings the number of Pods nearer to spec.replicas.
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

// remove plans to delete the victims. One that was just adopted is not updated
// as well: a transaction writes a key once.
func (p *Plan) remove(victims []*corev1.Pod) {
	p.Delete = victims
	p.Update = filter(p.Update, func(pod *corev1.Pod) bool { return !slices.Contains(victims, pod) })
}

// report plans the new status, if it is one. It counts the Pods as they were
// read; what this Plan creates and deletes is in the next status.
func (p *Plan) report(in Input, owned []*corev1.Pod, cause error) {
	status := calculateStatus(in, owned, cause)
	if equality.Semantic.DeepEqual(in.ReplicaSet.Status, status) {
		return
	}
	p.ReplicaSet = in.ReplicaSet.DeepCopy()
	p.ReplicaSet.Status = status
}
