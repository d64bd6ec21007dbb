package rollout

import (
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

// step is the state of one sync. It works on its own copies, which become the Plan.
type step struct {
	in       Input
	limits   limits
	selector labels.Selector

	d     *appsv1.Deployment   // copy
	newRS *appsv1.ReplicaSet   // copy, the one in plan.Create, or nil
	old   []*appsv1.ReplicaSet // copies, oldest first

	// touched has those of newRS and old that differ from the input.
	touched map[*appsv1.ReplicaSet]bool

	plan Plan
}

// begin claims the ReplicaSets. Unless the Deployment is being deleted, it also updates
// everything that does not depend on the rollout's progress.
func begin(in Input) (*step, error) {
	s := &step{in: in, d: in.Deployment.DeepCopy(), touched: make(map[*appsv1.ReplicaSet]bool)}
	var err error
	if s.limits, err = limitsOf(s.d); err != nil {
		return nil, err
	}
	if s.selector, err = metav1.LabelSelectorAsSelector(s.d.Spec.Selector); err != nil {
		return nil, fmt.Errorf("selector: %w", err)
	}
	s.claim()
	if s.d.DeletionTimestamp == nil {
		markPause(s.d, in.Now)
		s.updateNew()
	}
	return s, nil
}

// claim finds the ReplicaSets of the Deployment.
func (s *step) claim() {
	claimed := claim.Of(s.d, kind(), s.selector, s.in.ReplicaSets)
	s.plan.Update = claimed.Released
	var sets []*appsv1.ReplicaSet
	for _, rs := range claimed.Owned {
		copied := rs.DeepCopy()
		s.touched[copied] = slices.Contains(claimed.Adopted, rs)
		sets = append(sets, copied)
	}
	s.newRS, s.old = find(&s.d.Spec.Template, sets)
}

// updateNew updates an existing new ReplicaSet from the Deployment, and makes it the
// latest revision.
func (s *step) updateNew() {
	if s.newRS == nil {
		return
	}
	if setAnnotations(s.d, s.newRS, maxRevision(s.old)+1, maxHistoryLength) {
		s.touched[s.newRS] = true
	}
	if s.newRS.Spec.MinReadySeconds != s.d.Spec.MinReadySeconds {
		s.newRS.Spec.MinReadySeconds = s.d.Spec.MinReadySeconds
		s.touched[s.newRS] = true
	}
	s.showRevision()
	if c := condition(&s.d.Status, appsv1.DeploymentProgressing); hasDeadline(s.d) && (c == nil || c.Reason == ReasonInvalid) {
		setCondition(&s.d.Status, newCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue,
			ReasonReplicaSetFound, fmt.Sprintf("Found ReplicaSet %q.", s.newRS.Name), s.in.Now))
	}
}

// showRevision copies the new ReplicaSet's revision to the Deployment.
func (s *step) showRevision() {
	revision := s.newRS.Annotations[RevisionAnnotation]
	if s.d.Annotations[RevisionAnnotation] != revision {
		metav1.SetMetaDataAnnotation(&s.d.ObjectMeta, RevisionAnnotation, revision)
	}
}

// sharesOut reports whether this step scales ReplicaSets instead of rolling out.
func (s *step) sharesOut() bool {
	return s.d.Spec.Paused || wasScaled(s.limits, withNew(s.newRS, s.old))
}

// report sets the Deployment's new status.
func (s *step) report(calculate func(*appsv1.Deployment, limits, *appsv1.ReplicaSet, []*appsv1.ReplicaSet, time.Time) appsv1.DeploymentStatus) {
	s.d.Status = calculate(s.d, s.limits, s.newRS, s.old, s.in.Now)
}

// cleanUp plans to delete old ReplicaSets. It keeps one that this step changes, which
// may still have Pods.
func (s *step) cleanUp() {
	for _, rs := range surplus(s.d, s.old) {
		if !s.touched[rs] {
			s.plan.Delete = append(s.plan.Delete, rs)
		}
	}
}

// requeue schedules another sync after a time, unless one is due earlier.
func (s *step) requeue(after time.Duration) {
	if after > 0 && (s.plan.RequeueAfter == 0 || after < s.plan.RequeueAfter) {
		s.plan.RequeueAfter = after
	}
}

// finish adds all changed objects to the Plan.
func (s *step) finish() Plan {
	for _, rs := range withNew(s.newRS, s.old) {
		if s.touched[rs] {
			s.plan.Update = append(s.plan.Update, rs)
		}
	}
	if changed(s.in.Deployment, s.d) {
		s.plan.Deployment = s.d
	}
	return s.plan
}

func changed(before, after *appsv1.Deployment) bool {
	return before.Annotations[RevisionAnnotation] != after.Annotations[RevisionAnnotation] ||
		!equality.Semantic.DeepEqual(before.Status, after.Status)
}
