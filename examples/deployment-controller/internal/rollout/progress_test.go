package rollout

import (
	"math"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestComplete(t *testing.T) {
	tests := []struct {
		name                                string
		desired, status, updated, available int32
		maxUnavailable, maxSurge            string
		observed                            int64
		want                                bool
	}{
		{"min but not all pods available", 5, 5, 5, 4, "1", "0", 1, false},
		{"min availability not honored", 5, 5, 5, 3, "1", "0", 1, false},
		{"complete", 5, 5, 5, 5, "0", "0", 1, true},
		{"all available but not updated", 5, 5, 4, 5, "0", "0", 1, false},
		{"still running old pods", 1, 2, 1, 1, "0", "1", 1, false},
		{"one replica never comes up", 1, 1, 1, 0, "1", "1", 1, false},
		{"not observed", 5, 5, 5, 5, "0", "0", 0, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			d := deployment(tc.desired, tc.maxSurge, tc.maxUnavailable)
			status := counts([4]int32{tc.status, tc.updated, 0, tc.available})
			status.ObservedGeneration = tc.observed
			if got := complete(d, &status); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// counts makes a status of replicas, updated, ready and available.
func counts(n [4]int32) appsv1.DeploymentStatus {
	return appsv1.DeploymentStatus{Replicas: n[0], UpdatedReplicas: n[1], ReadyReplicas: n[2], AvailableReplicas: n[3]}
}

func TestProgressed(t *testing.T) {
	tests := []struct {
		name          string
		before, after [4]int32
		want          bool
	}{
		{"updated pods", [4]int32{10, 4, 4, 4}, [4]int32{10, 6, 4, 4}, true},
		{"not progressing", [4]int32{10, 4, 4, 4}, [4]int32{10, 4, 4, 4}, false},
		{"old pods removed", [4]int32{10, 4, 6, 6}, [4]int32{8, 4, 6, 6}, true},
		{"less new pods", [4]int32{10, 7, 3, 3}, [4]int32{10, 6, 3, 3}, false},
		{"less overall but more new pods", [4]int32{10, 4, 7, 7}, [4]int32{8, 8, 5, 5}, true},
		{"more ready pods", [4]int32{10, 10, 9, 8}, [4]int32{10, 10, 10, 8}, true},
		{"more available pods", [4]int32{10, 10, 10, 9}, [4]int32{10, 10, 10, 10}, true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			before, after := counts(tc.before), counts(tc.after)
			if got := progressed(&before, &after); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestTimedOut(t *testing.T) {
	tests := []struct {
		deadline *int32
		reason   string
		since    time.Duration
		want     bool
	}{
		{nil, "", 11 * time.Second, false},
		{ptr[int32](math.MaxInt32), "", 11 * time.Second, false},
		{ptr[int32](10), "", 11 * time.Second, true},
		{ptr[int32](10), "", 9 * time.Second, false},
		{ptr[int32](10), "", 10 * time.Second, false},
		{nil, ReasonReplicaSetAvailable, 0, false},
		{ptr[int32](10), ReasonReplicaSetAvailable, time.Hour, false},
		{ptr[int32](10), ReasonTimedOut, 0, true},
	}
	for _, tc := range tests {
		d := deployment(1, "", "")
		d.Spec.ProgressDeadlineSeconds = tc.deadline
		status := appsv1.DeploymentStatus{Conditions: []appsv1.DeploymentCondition{
			newCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue, tc.reason, "", now.Add(-tc.since)),
		}}
		if got := timedOut(d, &status, now); got != tc.want {
			t.Errorf("%v %q after %v: got %v, want %v", tc.deadline, tc.reason, tc.since, got, tc.want)
		}
	}
	d := deployment(1, "", "")
	d.Spec.ProgressDeadlineSeconds = ptr[int32](10)
	if timedOut(d, &appsv1.DeploymentStatus{}, now) {
		t.Error("timed out without ever having progressed")
	}
}

func TestUntilDeadline(t *testing.T) {
	stuck := newCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue, "", "", now)
	failed := newCondition(appsv1.DeploymentProgressing, corev1.ConditionFalse, ReasonTimedOut, "", now)
	distant := newCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue, "", "", now.AddDate(5000, 0, 0))
	const s = time.Second
	tests := []struct {
		name      string
		deadline  *int32
		replicas  int32
		status    [4]int32
		condition *appsv1.DeploymentCondition
		after     time.Duration
		want      time.Duration
		requeue   time.Duration
	}{
		{"nil deadline", nil, 4, [4]int32{3, 3, 0, 2}, nil, 0, -1, 0},
		{"infinite deadline", ptr[int32](math.MaxInt32), 4, [4]int32{3, 3, 0, 2}, nil, 0, -1, 0},
		{"no progressing condition", ptr[int32](60), 4, [4]int32{3, 3, 0, 2}, nil, 0, -1, 0},
		{"complete", ptr[int32](60), 3, [4]int32{3, 3, 0, 3}, nil, 0, -1, 0},
		{"complete with a condition", ptr[int32](60), 3, [4]int32{3, 3, 0, 3}, &stuck, 0, -1, 0},
		{"already failed", ptr[int32](60), 3, [4]int32{3, 3, 0, 0}, &failed, 0, -1, 0},
		{"stuck 30s", ptr[int32](60), 3, [4]int32{3, 3, 0, 1}, &stuck, 30 * s, 30 * s, 31 * s},
		{"stuck 1s", ptr[int32](60), 3, [4]int32{3, 3, 0, 1}, &stuck, 59 * s, 1 * s, 2 * s},
		{"less than a second", ptr[int32](60), 3, [4]int32{3, 3, 0, 1}, &stuck, 59*s + 1, 0, s},
		{"now", ptr[int32](60), 3, [4]int32{3, 3, 0, 1}, &stuck, 60 * s, 0, s},
		{"1s after", ptr[int32](60), 3, [4]int32{3, 3, 0, 1}, &stuck, 61 * s, 0, s},
		{"in the far future", ptr[int32](60), 3, [4]int32{3, 3, 0, 1}, &distant, 0, math.MaxInt64, math.MaxInt64},
		{"60s after", ptr[int32](60), 3, [4]int32{3, 3, 0, 1}, &stuck, 120 * s, 0, s},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			d := recreating(tc.replicas)
			d.Generation = 0
			d.Spec.ProgressDeadlineSeconds = tc.deadline
			status := counts(tc.status)
			if tc.condition != nil {
				status.Conditions = []appsv1.DeploymentCondition{*tc.condition}
			}
			if got := untilDeadline(d, &status, now.Add(tc.after)); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			if got := requeueForDeadline(d, &status, now.Add(tc.after)); got != tc.requeue {
				t.Errorf("requeue after %v, want %v", got, tc.requeue)
			}
		})
	}
}

// TestNoRequeueAfterRollout: Pods lost after the rollout has ended cannot make
// it time out, so there is nothing to wake up for.
func TestNoRequeueAfterRollout(t *testing.T) {
	d := recreating(3)
	d.Spec.ProgressDeadlineSeconds = ptr[int32](60)
	status := counts([4]int32{3, 3, 2, 2})
	status.Conditions = []appsv1.DeploymentCondition{
		newCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue, ReasonReplicaSetAvailable, "", now.Add(-time.Hour)),
	}
	if got := requeueForDeadline(d, &status, now); got != 0 {
		t.Errorf("requeue after %v", got)
	}
}

func TestRolloutStatus(t *testing.T) {
	at := metav1.NewTime(time.Date(2017, 2, 15, 18, 49, 0, 0, time.UTC))
	present := metav1.NewTime(now)
	progressing := func(status corev1.ConditionStatus, reason string, at metav1.Time) *appsv1.DeploymentCondition {
		return &appsv1.DeploymentCondition{
			Type: appsv1.DeploymentProgressing, Status: status, Reason: reason, LastUpdateTime: at, LastTransitionTime: at,
		}
	}
	ru := progressing(corev1.ConditionTrue, ReasonReplicaSetUpdated, at)
	na := progressing(corev1.ConditionTrue, ReasonReplicaSetAvailable, at)
	to := progressing(corev1.ConditionFalse, ReasonTimedOut, metav1.Time{})
	type sizes [3]int32 // spec, status, available
	tests := []struct {
		name     string
		deadline *int32
		d        [4]int32 // spec, status, updated, available
		before   *appsv1.DeploymentCondition
		old      []sizes
		newRS    *sizes

		status       corev1.ConditionStatus
		reason       string
		updated      metav1.Time
		transitioned metav1.Time
	}{
		{"no deadline: condition removed", nil, [4]int32{3, 2, 2, 2}, ru, []sizes{{0, 1, 1}}, &sizes{3, 2, 2}, "", "", metav1.Time{}, metav1.Time{}},
		{"one active RS: not estimated", ptr[int32](60), [4]int32{3, 3, 3, 3}, na, []sizes{{3, 3, 3}}, nil, "True", ReasonReplicaSetAvailable, at, at},
		{"progressing keeps transition", ptr[int32](60), [4]int32{3, 2, 2, 2}, ru, []sizes{{0, 1, 1}}, &sizes{3, 2, 2}, "True", ReasonReplicaSetUpdated, present, at},
		{"progressing from False", ptr[int32](60), [4]int32{3, 2, 2, 2}, to, []sizes{{0, 1, 1}}, &sizes{3, 2, 2}, "True", ReasonReplicaSetUpdated, present, present},
		{"progressing creates condition", ptr[int32](60), [4]int32{3, 2, 2, 2}, nil, []sizes{{0, 1, 1}}, &sizes{3, 2, 2}, "True", ReasonReplicaSetUpdated, present, present},
		{"complete keeps transition", ptr[int32](60), [4]int32{3, 3, 3, 3}, ru, nil, &sizes{3, 3, 3}, "True", ReasonReplicaSetAvailable, present, at},
		{"complete from False", ptr[int32](60), [4]int32{3, 3, 3, 3}, to, nil, &sizes{3, 3, 3}, "True", ReasonReplicaSetAvailable, present, present},
		{"complete creates", ptr[int32](60), [4]int32{3, 3, 3, 3}, nil, nil, &sizes{3, 3, 3}, "True", ReasonReplicaSetAvailable, present, present},
		{"complete, newRS nil", ptr[int32](60), [4]int32{0, 3, 3, 3}, ru, []sizes{{0, 0, 0}}, nil, "True", ReasonReplicaSetAvailable, present, at},
		{"timed out", ptr[int32](60), [4]int32{3, 2, 2, 2}, ru, nil, &sizes{3, 2, 2}, "False", ReasonTimedOut, present, present},
		{"already timed out", ptr[int32](60), [4]int32{3, 2, 2, 2}, to, nil, &sizes{3, 2, 2}, "False", ReasonTimedOut, metav1.Time{}, metav1.Time{}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			d := recreating(tc.d[0])
			d.Spec.ProgressDeadlineSeconds = tc.deadline
			d.Status = counts([4]int32{tc.d[1], tc.d[2], tc.d[3], tc.d[3]})
			if tc.before != nil {
				d.Status.Conditions = []appsv1.DeploymentCondition{*tc.before}
			}
			make := func(name string, n sizes) *appsv1.ReplicaSet { return withStatus(set(name, n[0], 0), n[1], n[2]) }
			var old []*appsv1.ReplicaSet
			for _, n := range tc.old {
				old = append(old, make("old", n))
			}
			var newRS *appsv1.ReplicaSet
			if tc.newRS != nil {
				newRS = make("new", *tc.newRS)
			}
			status := rolloutStatus(d, limitsFor(t, d), newRS, old, now.Add(400*time.Millisecond))
			got := condition(&status, appsv1.DeploymentProgressing)
			if tc.status == "" {
				if got != nil {
					t.Errorf("got %v, want none", got)
				}
				return
			}
			if got == nil || got.Status != tc.status || got.Reason != tc.reason {
				t.Fatalf("got %v, want %s %s", got, tc.status, tc.reason)
			}
			if !got.LastUpdateTime.Equal(&tc.updated) || !got.LastTransitionTime.Equal(&tc.transitioned) {
				t.Errorf("updated %v transitioned %v, want %v and %v", got.LastUpdateTime, got.LastTransitionTime, tc.updated, tc.transitioned)
			}
		})
	}
}

func TestReplicaFailure(t *testing.T) {
	failing := func(name, reason string) *appsv1.ReplicaSet {
		rs := set(name, 1, 0)
		rs.Status.Conditions = []appsv1.ReplicaSetCondition{{
			Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: reason, LastTransitionTime: metav1.NewTime(now),
		}}
		return rs
	}
	well := set("well", 1, 0)
	tests := []struct {
		name  string
		newRS *appsv1.ReplicaSet
		old   []*appsv1.ReplicaSet
		want  string
	}{
		{"all well", well, []*appsv1.ReplicaSet{well}, ""},
		{"the new one's comes first", failing("new", "FailedCreate"), []*appsv1.ReplicaSet{failing("old", "FailedDelete")}, "FailedCreate"},
		{"an old one's", well, []*appsv1.ReplicaSet{well, failing("old", "FailedDelete")}, "FailedDelete"},
		{"no new one", nil, []*appsv1.ReplicaSet{failing("old", "FailedDelete")}, "FailedDelete"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			d := deployment(1, "1", "0")
			stale := newCondition(appsv1.DeploymentReplicaFailure, corev1.ConditionTrue, "Before", "", now)
			d.Status.Conditions = []appsv1.DeploymentCondition{stale}
			status := rolloutStatus(d, limitsFor(t, d), tc.newRS, tc.old, now)
			got := ""
			if c := condition(&status, appsv1.DeploymentReplicaFailure); c != nil {
				got = c.Reason
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if d.Status.Conditions[0] != stale {
				t.Error("the Deployment's own conditions were changed")
			}
		})
	}
}

func TestStatusCounts(t *testing.T) {
	d := deployment(10, "3", "2")
	d.Status.CollisionCount = ptr[int32](2)
	newRS, old := withStatus(set("new", 5, 0), 4, 2), withStatus(set("old", 8, time.Hour), 9, 7)
	newRS.Status.TerminatingReplicas, old.Status.TerminatingReplicas = ptr[int32](1), ptr[int32](2)
	got := calculateStatus(d, limitsFor(t, d), newRS, []*appsv1.ReplicaSet{old}, now)
	if got.ObservedGeneration != 1 || got.Replicas != 13 || got.UpdatedReplicas != 4 || got.ReadyReplicas != 9 ||
		got.AvailableReplicas != 9 || got.UnavailableReplicas != 4 || *got.TerminatingReplicas != 3 || *got.CollisionCount != 2 {
		t.Errorf("got %+v", got)
	}
	if c := condition(&got, appsv1.DeploymentAvailable); c.Status != corev1.ConditionTrue || c.Reason != ReasonAvailable {
		t.Errorf("9 of at least 8 available: %v", c)
	}
	old.Status.AvailableReplicas = 5
	got = calculateStatus(d, limitsFor(t, d), newRS, []*appsv1.ReplicaSet{old}, now)
	if c := condition(&got, appsv1.DeploymentAvailable); c.Status != corev1.ConditionFalse || c.Reason != ReasonUnavailable {
		t.Errorf("7 of at least 8 available: %v", c)
	}
	old.Status.AvailableReplicas, old.Spec.Replicas = 9, ptr[int32](0)
	got = calculateStatus(d, limitsFor(t, d), newRS, []*appsv1.ReplicaSet{old}, now)
	if got.UnavailableReplicas != 0 {
		t.Errorf("unavailable %d while scaling down", got.UnavailableReplicas)
	}
}
