package rollout

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// patient is a rolling Deployment with a deadline and a history.
func patient(replicas int32) *appsv1.Deployment {
	d := deployment(replicas, "25%", "25%")
	d.Spec.ProgressDeadlineSeconds = ptr[int32](600)
	d.Spec.RevisionHistoryLimit = ptr[int32](10)
	return d
}

// settled returns a Deployment that was rolled out with one ReplicaSet, and
// checks that there is nothing left to do.
func settled(t *testing.T, d *appsv1.Deployment, olds ...*appsv1.ReplicaSet) Input {
	t.Helper()
	n := replicasOf(d)
	newRS := withStatus(owned(t, d, "v1", n, int64(len(olds)+1), 0), n, n)
	in := Input{Deployment: d, ReplicaSets: append(slices.Clone(olds), newRS)}
	if plan := mustSync(t, in); plan.Deployment != nil {
		in.Deployment = plan.Deployment
	}
	if plan := mustSync(t, in); !isEmpty(plan) {
		t.Fatalf("not settled: %+v", plan)
	}
	return in
}

func newOf(in Input) *appsv1.ReplicaSet { return in.ReplicaSets[len(in.ReplicaSets)-1] }

func progressReason(d *appsv1.Deployment) string {
	if c := condition(&d.Status, appsv1.DeploymentProgressing); c != nil {
		return c.Reason
	}
	return ""
}

func TestSyncCreates(t *testing.T) {
	d := patient(10)
	d.Annotations = map[string]string{"note": "x"}
	d.Spec.MinReadySeconds = 7
	plan := mustSync(t, Input{Deployment: d})
	rs, hash := plan.Create, Hash(&d.Spec.Template, nil)
	if rs == nil {
		t.Fatal("nothing is created")
	}
	labels := map[string]string{"app": "web", hashLabel: hash}
	want := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web-" + hash, Namespace: "ns", Labels: labels,
			Annotations: map[string]string{"note": "x", RevisionAnnotation: "1", DesiredReplicasAnnotation: "10", MaxReplicasAnnotation: "13"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "web-uid", Controller: ptr(true), BlockOwnerDeletion: ptr(true),
			}},
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: ptr[int32](10), MinReadySeconds: 7,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: d.Spec.Template.Spec},
		},
	}
	if !equality.Semantic.DeepEqual(rs, want) {
		t.Errorf("created %+v", rs)
	}
	if plan.Deployment.Annotations[RevisionAnnotation] != "1" || progressReason(plan.Deployment) != ReasonReplicaSetCreated {
		t.Errorf("deployment %v", plan.Deployment)
	}
	if plan.Deployment.Status.UnavailableReplicas != 10 || plan.RequeueAfter != 601*time.Second {
		t.Errorf("unavailable %d requeue %v", plan.Deployment.Status.UnavailableReplicas, plan.RequeueAfter)
	}
	if len(plan.Events) != 1 || plan.Events[0] != (Event{"Normal", "ScalingReplicaSet", "Scaled up replica set web-" + hash + " from 0 to 10"}) {
		t.Errorf("events %v", plan.Events)
	}
}

func TestSyncRollsOut(t *testing.T) {
	in := settled(t, patient(10))
	d := in.Deployment.DeepCopy()
	d.Spec.Template, d.Generation = template("v2"), 2
	in.Deployment = d
	plan := mustSync(t, in)
	if plan.Create == nil || size(plan.Create) != 3 || plan.Create.Annotations[RevisionAnnotation] != "2" {
		t.Fatalf("created %v, want 3 Pods of revision 2", plan.Create)
	}
	if len(plan.Update)+len(plan.Delete) != 0 {
		t.Error("more than one step was taken")
	}
	if s := plan.Deployment.Status; s.UpdatedReplicas != 0 || s.Replicas != 10 || s.ObservedGeneration != 2 {
		t.Errorf("status %+v", s)
	}
}

func TestSyncOfEmptySelector(t *testing.T) {
	for _, selector := range []*metav1.LabelSelector{nil, {}} {
		d := patient(3)
		d.Spec.Selector = selector
		plan := mustSync(t, Input{Deployment: d})
		if plan.Create != nil || len(plan.Events) != 1 || plan.Events[0].Reason != ReasonSelectingAll || plan.Events[0].Type != "Warning" {
			t.Fatalf("plan %+v", plan)
		}
		want := appsv1.DeploymentStatus{ObservedGeneration: 1}
		if !equality.Semantic.DeepEqual(plan.Deployment.Status, want) {
			t.Errorf("status %+v", plan.Deployment.Status)
		}
		if again := mustSync(t, Input{Deployment: plan.Deployment}); !isEmpty(again) {
			t.Errorf("again: %+v", again)
		}
	}
}

func TestSyncOfDeletingDeployment(t *testing.T) {
	in := settled(t, patient(4))
	d := in.Deployment.DeepCopy()
	d.DeletionTimestamp = &metav1.Time{Time: now}
	d.Spec.Replicas, d.Annotations["note"], d.Spec.Paused = ptr[int32](9), "x", true
	orphan := owned(t, d, "v0", 2, 1, time.Hour)
	orphan.OwnerReferences = nil
	stray := owned(t, d, "v00", 2, 1, time.Hour)
	stray.Labels = nil
	in.Deployment = d
	in.ReplicaSets = []*appsv1.ReplicaSet{orphan, stray, withStatus(newOf(in), 4, 2)}
	plan := mustSync(t, in)
	if plan.Create != nil || len(plan.Update)+len(plan.Delete)+len(plan.Events) != 0 {
		t.Errorf("plan %+v, want a status only", plan)
	}
	if plan.Deployment == nil || plan.Deployment.Status.AvailableReplicas != 2 || progressReason(plan.Deployment) != ReasonReplicaSetAvailable {
		t.Errorf("deployment %+v", plan.Deployment)
	}
}

func TestSyncAdoptsAndReleases(t *testing.T) {
	in := settled(t, patient(4))
	orphan := owned(t, in.Deployment, "v0", 0, 0, time.Hour)
	orphan.OwnerReferences = nil
	stray := withStatus(owned(t, in.Deployment, "v00", 3, 0, time.Hour), 3, 3)
	stray.Labels = map[string]string{"app": "other"}
	foreign := owned(t, in.Deployment, "v000", 3, 0, time.Hour)
	foreign.OwnerReferences[0].UID = "somebody"
	in.ReplicaSets = append([]*appsv1.ReplicaSet{orphan, stray, foreign}, in.ReplicaSets...)
	plan := mustSync(t, in)
	if got := updated(plan, orphan.Name); got == nil || !metav1.IsControlledBy(got, in.Deployment) {
		t.Errorf("the orphan is not adopted: %v", got)
	}
	if got := updated(plan, stray.Name); got == nil || len(got.OwnerReferences) != 0 || size(got) != 3 {
		t.Errorf("the stray is not released as it is: %v", got)
	}
	if len(plan.Update) != 2 || plan.Deployment != nil {
		t.Errorf("updates %v, deployment %v", setNames(plan.Update), plan.Deployment)
	}
}

func TestSyncAdoptsTheNewReplicaSet(t *testing.T) {
	d := patient(4)
	orphan := withStatus(owned(t, d, "v1", 4, 3, time.Hour), 4, 3)
	orphan.OwnerReferences = nil
	plan := mustSync(t, Input{Deployment: d, ReplicaSets: []*appsv1.ReplicaSet{orphan}})
	if plan.Create != nil || len(plan.Update) != 1 {
		t.Fatalf("plan %+v", plan)
	}
	if plan.Deployment.Annotations[RevisionAnnotation] != "3" || plan.Deployment.Status.UpdatedReplicas != 4 {
		t.Errorf("deployment %v", plan.Deployment)
	}
	d.Status = counts([4]int32{4, 4, 3, 3})
	plan = mustSync(t, Input{Deployment: d, ReplicaSets: []*appsv1.ReplicaSet{orphan}})
	if progressReason(plan.Deployment) != ReasonReplicaSetFound {
		t.Errorf("progress %s", progressReason(plan.Deployment))
	}
}

func TestSyncCollision(t *testing.T) {
	d := patient(4)
	first := Name(d.Name, Hash(&d.Spec.Template, nil))
	in := Input{Deployment: d, NameTaken: func(name string) *appsv1.ReplicaSet {
		if name == first {
			return set(first, 0, 0)
		}
		return nil
	}}
	plan := mustSync(t, in)
	if plan.Create != nil || plan.Deployment == nil || *plan.Deployment.Status.CollisionCount != 1 || len(plan.Events) != 0 {
		t.Fatalf("plan %+v", plan)
	}
	in.Deployment = plan.Deployment
	plan = mustSync(t, in)
	if want := Name(d.Name, Hash(&d.Spec.Template, ptr[int32](1))); plan.Create == nil || plan.Create.Name != want {
		t.Fatalf("created %v, want %s", plan.Create, want)
	}
	if *plan.Deployment.Status.CollisionCount != 1 {
		t.Error("the count of collisions is lost")
	}
}

// TestSyncReleasedNameCollides: the ReplicaSet of this very template is no
// longer the Deployment's, but it still has the name.
func TestSyncReleasedNameCollides(t *testing.T) {
	in := settled(t, patient(4))
	stray := newOf(in).DeepCopy()
	stray.Labels = map[string]string{"app": "other"}
	plan := mustSync(t, Input{Deployment: in.Deployment, ReplicaSets: []*appsv1.ReplicaSet{stray}})
	if plan.Create != nil || *plan.Deployment.Status.CollisionCount != 1 || len(plan.Update) != 1 {
		t.Errorf("plan %+v", plan)
	}
}

func TestSyncPauses(t *testing.T) {
	in := settled(t, patient(4))
	d := in.Deployment.DeepCopy()
	d.Spec.Paused, d.Spec.Template = true, template("v2")
	in.Deployment = d
	plan := mustSync(t, in)
	c := condition(&plan.Deployment.Status, appsv1.DeploymentProgressing)
	if plan.Create != nil || c.Reason != ReasonPaused || c.Status != corev1.ConditionUnknown {
		t.Fatalf("paused: %+v", plan)
	}
	in.Deployment = plan.Deployment
	if plan = mustSync(t, in); !isEmpty(plan) {
		t.Errorf("still paused: %+v", plan)
	}

	d = in.Deployment.DeepCopy()
	d.Spec.Replicas = ptr[int32](6)
	plan = mustSync(t, Input{Deployment: d, ReplicaSets: in.ReplicaSets})
	wantSize(t, plan, newOf(in), ptr[int32](6))
}

// TestSyncResumes: the deadline counts from when the Deployment was resumed.
func TestSyncResumes(t *testing.T) {
	in := settled(t, patient(4))
	in.ReplicaSets = []*appsv1.ReplicaSet{withStatus(newOf(in).DeepCopy(), 4, 3)}
	in.Deployment = in.Deployment.DeepCopy()
	in.Deployment.Spec.Paused = true
	in.Deployment = mustSync(t, in).Deployment.DeepCopy()
	in.Deployment.Spec.Paused = false
	in.Now = now.Add(time.Hour)
	plan := mustSync(t, in)
	c := condition(&plan.Deployment.Status, appsv1.DeploymentProgressing)
	if c.Reason != ReasonResumed || !c.LastUpdateTime.Time.Equal(in.Now) || plan.RequeueAfter != 601*time.Second {
		t.Errorf("condition %v requeue %v", c, plan.RequeueAfter)
	}
}

func TestSyncPauseKeepsTimedOut(t *testing.T) {
	in := settled(t, patient(4))
	d := in.Deployment.DeepCopy()
	setCondition(&d.Status, newCondition(appsv1.DeploymentProgressing, corev1.ConditionFalse, ReasonTimedOut, "", now))
	d.Spec.Paused = true
	if plan := mustSync(t, Input{Deployment: d, ReplicaSets: in.ReplicaSets}); !isEmpty(plan) {
		t.Errorf("plan %+v", plan)
	}
}

func TestSyncPauseWithoutDeadline(t *testing.T) {
	d := deployment(4, "1", "1")
	d.Spec.Paused = true
	plan := mustSync(t, Input{Deployment: d})
	if got := progressReason(plan.Deployment); got != "" || plan.Create != nil {
		t.Errorf("progress %q created %v", got, plan.Create)
	}
}

func TestSyncRollsBack(t *testing.T) {
	d := patient(4)
	first := owned(t, d, "v0", 0, 1, 2*time.Hour)
	second := owned(t, d, "v00", 0, 2, time.Hour)
	in := settled(t, d, first, second)
	d = in.Deployment.DeepCopy()
	d.Spec.Template, d.Generation = template("v0"), 2
	in.Deployment = d
	plan := mustSync(t, in)
	got := updated(plan, first.Name)
	if got == nil || got.Annotations[RevisionAnnotation] != "4" || got.Annotations[RevisionHistoryAnnotation] != "1" {
		t.Fatalf("rolled back to %v", got)
	}
	if plan.Create != nil || size(got) != 1 || plan.Deployment.Annotations[RevisionAnnotation] != "4" {
		t.Errorf("plan %+v", plan)
	}
}

// A revision that was put in by hand neither overflows nor gets the rollback target
// pruned.
func TestSyncOfImpossibleRevisions(t *testing.T) {
	for _, impossible := range []string{"9223372036854775807", "9223372036854775806", "-9223372036854775808", "-1", "1000000000000001", "99999999999999999999"} {
		d := patient(2)
		d.Spec.RevisionHistoryLimit = ptr[int32](1)
		first := owned(t, d, "a", 0, 1, 4*time.Hour)
		spoilt := owned(t, d, "b", 0, 2, 3*time.Hour)
		spoilt.Annotations[RevisionAnnotation] = impossible

		rolling := d.DeepCopy()
		rolling.Spec.Template = template("c")
		plan := mustSync(t, Input{Deployment: rolling, ReplicaSets: []*appsv1.ReplicaSet{first, spoilt}})
		if plan.Create == nil || plan.Create.Annotations[RevisionAnnotation] != "2" {
			t.Errorf("%s: created %v", impossible, plan.Create)
		}

		target := owned(t, d, "c", 0, 2, 2*time.Hour)
		newest := withStatus(owned(t, d, "v1", 2, 3, 0), 2, 2)
		in := Input{Deployment: d, ReplicaSets: []*appsv1.ReplicaSet{first, spoilt, target, newest}}
		plan = mustSync(t, in)
		in.Deployment = plan.Deployment
		if got := setNames(plan.Delete); slices.Contains(got, target.Name) {
			t.Errorf("%s: deletes %v", impossible, got)
		}
		newest.Annotations[RevisionAnnotation] = impossible
		plan = mustSync(t, Input{Deployment: d, ReplicaSets: []*appsv1.ReplicaSet{first, target, newest}})
		if got := updated(plan, newest.Name); got == nil || got.Annotations[RevisionAnnotation] != "3" || got.Annotations[RevisionHistoryAnnotation] != impossible {
			t.Errorf("%s: is not mended: %v", impossible, got)
		}
	}
}

// Sums of sizes and counts do not overflow.
func TestSyncOfLargeNumbers(t *testing.T) {
	const most = math.MaxInt32
	d := deployment(most, "100%", "0")
	old := withStatus(owned(t, d, "a", most, 1, 2*time.Hour), most, most)
	older := withStatus(owned(t, d, "b", most, 2, time.Hour), most, -most-1)
	newest := withStatus(owned(t, d, "v1", most, 3, 0), most, most)
	for _, rs := range []*appsv1.ReplicaSet{old, older, newest} {
		rs.Status.TerminatingReplicas = ptr[int32](most)
	}
	plan := mustSync(t, Input{Deployment: d, ReplicaSets: []*appsv1.ReplicaSet{old, older, newest}})
	for _, rs := range plan.Update {
		if size(rs) < 0 {
			t.Errorf("%s gets the size %d", rs.Name, size(rs))
		}
	}
	status := plan.Deployment.Status
	if status.Replicas != most || *status.TerminatingReplicas != most || status.AvailableReplicas < 0 || status.UnavailableReplicas < 0 {
		t.Errorf("status %+v", status)
	}
	if len(plan.Update) == 0 || size(plan.Update[0]) == most {
		t.Errorf("nothing shrinks: %+v", plan)
	}

	d.Status.CollisionCount = ptr[int32](most)
	plan = mustSync(t, Input{Deployment: d, NameTaken: func(string) *appsv1.ReplicaSet { return old }})
	if got := *plan.Deployment.Status.CollisionCount; got != 1 {
		t.Errorf("%d collisions", got)
	}
}

func TestSyncCleansUp(t *testing.T) {
	d := patient(2)
	old := []*appsv1.ReplicaSet{
		owned(t, d, "a", 0, 1, 4*time.Hour), owned(t, d, "b", 0, 2, 3*time.Hour), owned(t, d, "c", 0, 3, 2*time.Hour),
	}
	in := settled(t, d, old...)
	in.Deployment = in.Deployment.DeepCopy()
	in.Deployment.Spec.RevisionHistoryLimit = ptr[int32](1)
	wantDeleted := func(what string, in Input, want ...string) {
		t.Helper()
		if got := setNames(mustSync(t, in).Delete); !slices.Equal(got, want) {
			t.Errorf("%s: deletes %v, want %v", what, got, want)
		}
	}
	wantDeleted("complete", in, old[0].Name, old[1].Name)

	rolling := in
	rolling.Deployment = in.Deployment.DeepCopy()
	rolling.Deployment.Spec.Template = template("v2")
	wantDeleted("rolling", rolling)

	paused := rolling
	paused.Deployment = rolling.Deployment.DeepCopy()
	paused.Deployment.Spec.Paused = true
	wantDeleted("paused", paused, old[0].Name, old[1].Name, old[2].Name)
}

// TestSyncKeepsWhatItMakesSmall: a ReplicaSet may have created Pods that it has
// not reported when it is made smaller.
func TestSyncKeepsWhatItMakesSmall(t *testing.T) {
	d := patient(0)
	d.Spec.RevisionHistoryLimit, d.Spec.Paused = ptr[int32](0), true
	old := owned(t, patient(3), "v0", 3, 1, time.Hour)
	plan := mustSync(t, Input{Deployment: d, ReplicaSets: []*appsv1.ReplicaSet{old}})
	if len(plan.Delete) != 0 || len(plan.Update) != 1 || size(plan.Update[0]) != 0 {
		t.Errorf("plan %+v", plan)
	}
}

func TestSyncTimesOut(t *testing.T) {
	in := settled(t, patient(4))
	d := in.Deployment.DeepCopy()
	d.Spec.Template, d.Generation = template("v2"), 2
	in.Deployment = d
	plan := mustSync(t, in)
	stuck := withStatus(plan.Create, 1, 0)
	in.Deployment, in.ReplicaSets = plan.Deployment, append(in.ReplicaSets, stuck)
	for mustSync(t, in).Deployment != nil || len(mustSync(t, in).Update) > 0 {
		plan = mustSync(t, in)
		for i, rs := range in.ReplicaSets {
			if after := updated(plan, rs.Name); after != nil {
				in.ReplicaSets[i] = withStatus(after, size(after), min(size(after), rs.Status.AvailableReplicas))
			}
		}
		if plan.Deployment != nil {
			in.Deployment = plan.Deployment
		}
	}
	in.Now = now.Add(599 * time.Second)
	if plan = mustSync(t, in); plan.Deployment != nil || plan.RequeueAfter != 2*time.Second {
		t.Errorf("before the deadline: %+v", plan)
	}
	in.Now = now.Add(601 * time.Second)
	plan = mustSync(t, in)
	if plan.Deployment == nil || progressReason(plan.Deployment) != ReasonTimedOut || plan.RequeueAfter != 0 {
		t.Fatalf("after the deadline: %+v", plan)
	}
	in.Deployment = plan.Deployment
	if plan = mustSync(t, in); !isEmpty(plan) {
		t.Errorf("once timed out: %+v", plan)
	}
}

func TestSyncFollowsTheDeployment(t *testing.T) {
	in := settled(t, patient(4))
	d := in.Deployment.DeepCopy()
	d.Spec.MinReadySeconds, d.Annotations["note"] = 5, "x"
	in.Deployment = d
	got := updated(mustSync(t, in), newOf(in).Name)
	if got == nil || got.Spec.MinReadySeconds != 5 || got.Annotations["note"] != "x" {
		t.Fatalf("updated %v", got)
	}
	if got.Annotations[RevisionAnnotation] != "1" || got.Annotations[RevisionHistoryAnnotation] != "" {
		t.Errorf("a copied annotation is no rollback: %v", got.Annotations)
	}
}

func TestSyncRecreates(t *testing.T) {
	d := recreating(3)
	old := owned(t, d, "v0", 0, 1, time.Hour)
	pods := podsOf(old, 1)
	pods[0].DeletionTimestamp = &metav1.Time{Time: now}
	in := Input{
		Deployment: d, ReplicaSets: []*appsv1.ReplicaSet{old},
		Pods: func(*appsv1.ReplicaSet) []*corev1.Pod { return pods },
	}
	if plan := mustSync(t, in); plan.Create != nil {
		t.Error("a Pod that is terminating still runs")
	}
	pods = nil
	if plan := mustSync(t, in); plan.Create == nil || size(plan.Create) != 3 {
		t.Errorf("created %v", plan.Create)
	}
	newRS := owned(t, d, "v1", 0, 2, 0)
	in.ReplicaSets = append(in.ReplicaSets, newRS)
	wantSize(t, mustSync(t, in), newRS, ptr[int32](3))
}

func TestSyncRefusesInvalidDeployments(t *testing.T) {
	tests := map[string]func(*appsv1.Deployment){
		"surge":    func(d *appsv1.Deployment) { d.Spec.Strategy.RollingUpdate.MaxSurge = value("much") },
		"strategy": func(d *appsv1.Deployment) { d.Spec.Strategy.Type = "BlueGreen" },
		"malformed selector": func(d *appsv1.Deployment) {
			d.Spec.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "a", Operator: "?"}}
		},
		"template": func(d *appsv1.Deployment) { d.Spec.Template.Labels = nil },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			d := patient(3)
			spoil(d)
			plan, err := Sync(Input{Deployment: d, Now: now})
			if err == nil || !strings.Contains(err.Error(), "ns/web") || !isEmpty(plan) {
				t.Errorf("plan %+v error %v", plan, err)
			}
			refused := Refuse(Input{Deployment: d, Now: now}, err)
			c := condition(&refused.Deployment.Status, appsv1.DeploymentProgressing)
			if c == nil || c.Reason != ReasonInvalid || c.Message != err.Error() || refused.Events[0].Reason != ReasonInvalid ||
				refused.Deployment.Status.ObservedGeneration != d.Generation {
				t.Errorf("refused %+v", refused)
			}
			if again := Refuse(Input{Deployment: refused.Deployment, Now: now}, err); again.Deployment != nil {
				t.Error("a standing failure was written again")
			}
		})
	}
}

// The time that a Deployment was invalid does not count towards its deadline.
func TestSyncOfWhatWasInvalid(t *testing.T) {
	d := patient(3)
	d = Refuse(Input{Deployment: d, Now: now.Add(-time.Hour)}, errors.New("bad")).Deployment
	rs := owned(t, d, "v1", 3, 1, time.Hour)
	plan := mustSync(t, Input{Deployment: d, ReplicaSets: []*appsv1.ReplicaSet{rs}, Now: now})
	if got := progressReason(plan.Deployment); got != ReasonReplicaSetFound {
		t.Errorf("Progressing: %s", got)
	}
}

func TestCreateFailed(t *testing.T) {
	in := Input{Deployment: patient(3), Now: now}
	plan := CreateFailed(in, "web-abc", errors.New("no room"))
	c := condition(&plan.Deployment.Status, appsv1.DeploymentProgressing)
	if c.Status != corev1.ConditionFalse || c.Reason != ReasonReplicaSetCreateError || !strings.Contains(c.Message, "no room") {
		t.Errorf("condition %v", c)
	}
	if len(plan.Events) != 1 || plan.Events[0].Type != "Warning" || len(in.Deployment.Status.Conditions) != 0 {
		t.Errorf("events %v", plan.Events)
	}
	in.Deployment = plan.Deployment
	if again := CreateFailed(in, "web-abc", errors.New("no room")); again.Deployment != nil {
		t.Error("a standing failure was written again")
	}
	if other := CreateFailed(in, "web-abc", errors.New("no name")); other.Deployment == nil {
		t.Error("another cause was not written")
	}
	if next := mustSync(t, in); progressReason(next.Deployment) != ReasonReplicaSetCreated {
		t.Errorf("the next sync says %s", progressReason(next.Deployment))
	}
	if plan := CreateFailed(Input{Deployment: deployment(3, "", ""), Now: now}, "x", errors.New("no")); plan.Deployment != nil {
		t.Error("without a deadline there is no such condition")
	}
}

func TestSyncDefaultsToOneReplica(t *testing.T) {
	d := deployment(0, "1", "0")
	d.Spec.Replicas = nil
	plan := mustSync(t, Input{Deployment: d})
	if plan.Create == nil || size(plan.Create) != 1 || progressReason(plan.Deployment) != "" {
		t.Errorf("plan %+v", plan)
	}
}
