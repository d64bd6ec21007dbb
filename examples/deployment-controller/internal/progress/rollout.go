package progress

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Rollout is the rollout that one applied Deployment began. It tells the failure of this rollout from that of an earlier
// one: a controller keeps the condition of a failed rollout until the next rollout makes progress.
type Rollout struct {
	generation int64
	stale      *metav1.Time // When an earlier rollout failed; nil if none had when this one began.
	counts     time.Time    // From when on a failure at the time stale is this rollout's own.
}

// NewRollout returns the rollout of a Deployment as it was right after it was applied. now is the time of that.
func NewRollout(applied *appsv1.Deployment, now time.Time) Rollout {
	r := Rollout{generation: applied.Generation}
	if c := failure(applied); c != nil && !observed(applied) {
		r.stale = &c.LastUpdateTime
		if deadline := applied.Spec.ProgressDeadlineSeconds; deadline != nil {
			r.counts = now.Add(time.Duration(*deadline) * time.Second)
		}
	}
	return r
}

// Complete reports whether the controller has seen the applied spec, or a later one, and finished its rollout: the desired
// number of Pods is available, all have the current template, and none is still terminating.
func (r Rollout) Complete(d *appsv1.Deployment) bool {
	ended := d.Status.TerminatingReplicas == nil || *d.Status.TerminatingReplicas == 0
	return d.Status.ObservedGeneration >= r.generation && ended && Complete(d)
}

// Failed reports whether the rollout made no progress within its deadline, or cannot begin because the Deployment is
// invalid, and returns the reason. It returns false until the controller has seen the applied spec. A rollout that is late
// can still complete.
func (r Rollout) Failed(d *appsv1.Deployment, now time.Time) (reason string, failed bool) {
	c := failure(d)
	switch {
	case !observed(d):
		return "", false
	case selectsAll(d):
		return "the selector is empty", true
	case c == nil || d.Status.ObservedGeneration < r.generation:
		return "", false
	case r.stale != nil && c.LastUpdateTime.Equal(r.stale) && now.Before(r.counts):
		return "", false
	}
	return withMessage(c), true
}

// Recheck returns the time at which Failed may change although the Deployment does not, or the zero time.
func (r Rollout) Recheck() time.Time { return r.counts }

// failure returns the Progressing condition of a Deployment if its deadline has passed or its spec is invalid, else nil.
func failure(d *appsv1.Deployment) *appsv1.DeploymentCondition {
	c := condition(d, appsv1.DeploymentProgressing)
	if c == nil || c.Status != corev1.ConditionFalse || c.Reason != deadlineExceeded && c.Reason != invalidSpec {
		return nil
	}
	return c
}
