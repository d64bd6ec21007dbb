package rollout

import (
	"fmt"
	"maps"
	"strconv"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
)

// owned returns a ReplicaSet as the Deployment would have made it for image.
func owned(t *testing.T, d *appsv1.Deployment, image string, replicas int32, revision int64, age time.Duration) *appsv1.ReplicaSet {
	t.Helper()
	of := d.DeepCopy()
	of.Spec.Template = template(image)
	rs := newReplicaSet(of, limitsFor(t, d), Hash(&of.Spec.Template, nil), replicas, revision)
	rs.UID = types.UID(rs.Name)
	rs.CreationTimestamp = set("", 0, age).CreationTimestamp
	rs.Generation, rs.Status.ObservedGeneration = 1, 1
	rs.Status.TerminatingReplicas = ptr[int32](0)
	return rs
}

// mustSync syncs at the time now, and checks that the input is left as it was.
func mustSync(t *testing.T, in Input) Plan {
	t.Helper()
	if in.Now.IsZero() {
		in.Now = now
	}
	d, sets := in.Deployment.DeepCopy(), make([]*appsv1.ReplicaSet, len(in.ReplicaSets))
	for i, rs := range in.ReplicaSets {
		sets[i] = rs.DeepCopy()
	}
	plan, err := Sync(in)
	if err != nil {
		t.Fatal(err)
	}
	if !equality.Semantic.DeepEqual(d, in.Deployment) || !equality.Semantic.DeepEqual(sets, in.ReplicaSets) {
		t.Error("the input was changed")
	}
	return plan
}

// updated returns the ReplicaSet of that name that the Plan writes, or nil.
func updated(plan Plan, name string) *appsv1.ReplicaSet {
	for _, rs := range plan.Update {
		if rs.Name == name {
			return rs
		}
	}
	return nil
}

// wantSize checks what size a Plan gives a ReplicaSet; nil is: none.
func wantSize(t *testing.T, plan Plan, rs *appsv1.ReplicaSet, want *int32) {
	t.Helper()
	got := updated(plan, rs.Name)
	switch {
	case want == nil && got != nil && size(got) != size(rs):
		t.Errorf("%s resized from %d to %d, want it left", rs.Name, size(rs), size(got))
	case want != nil && (got == nil || size(got) != *want):
		t.Errorf("%s: got %v, want size %d", rs.Name, got, *want)
	}
}

func TestRollingNewReplicaSet(t *testing.T) {
	tests := []struct {
		replicas      int32
		maxSurge      string
		oldSize, size int32
		want          *int32
	}{
		{10, "0", 10, 0, nil},
		{10, "2", 10, 0, ptr[int32](2)},
		{10, "2", 5, 0, ptr[int32](7)},
		{10, "2", 10, 2, nil},
		{10, "2", 2, 11, ptr[int32](10)},
	}
	for _, tc := range tests {
		t.Run(fmt.Sprint(tc.oldSize, tc.size), func(t *testing.T) {
			d := deployment(tc.replicas, tc.maxSurge, "0")
			newRS := owned(t, d, "v1", tc.size, 2, 0)
			old := owned(t, d, "v0", tc.oldSize, 1, time.Hour)
			plan := mustSync(t, Input{Deployment: d, ReplicaSets: []*appsv1.ReplicaSet{old, newRS}})
			wantSize(t, plan, newRS, tc.want)
		})
	}
}

func TestRollingOldReplicaSets(t *testing.T) {
	tests := []struct {
		replicas                             int32
		maxUnavailable                       string
		oldSize, newSize, oldAvail, newAvail int32
		want                                 *int32
	}{
		{10, "0", 10, 0, 10, 0, ptr[int32](9)},
		{10, "2", 10, 0, 10, 0, ptr[int32](8)},
		{10, "2", 10, 0, 8, 0, ptr[int32](8)},
		{10, "2", 10, 0, 9, 0, ptr[int32](8)},
		{10, "2", 8, 2, 8, 0, nil},
		{10, "2", 8, 2, 10, 2, ptr[int32](6)}, // the status is from before the old one was made smaller
	}
	for _, tc := range tests {
		t.Run(fmt.Sprint(tc.oldSize, tc.newSize, tc.oldAvail, tc.newAvail), func(t *testing.T) {
			d := deployment(tc.replicas, "0", tc.maxUnavailable)
			newRS := withStatus(owned(t, d, "v1", tc.newSize, 2, 0), tc.newSize, tc.newAvail)
			old := withStatus(owned(t, d, "v0", tc.oldSize, 1, time.Hour), tc.oldSize, tc.oldAvail)
			plan := mustSync(t, Input{Deployment: d, ReplicaSets: []*appsv1.ReplicaSet{old, newRS}})
			wantSize(t, plan, old, tc.want)
		})
	}
}

func TestDropUnhealthy(t *testing.T) {
	tests := []struct{ oldSize, oldAvailable, spare, want int32 }{
		{10, 8, 1, 1},
		{10, 8, 3, 2},
		{10, 8, 0, 0},
		{10, 10, 3, 0},
		{8, 10, 3, 0},
	}
	for _, tc := range tests {
		rs := withStatus(set("old", tc.oldSize, 0), tc.oldSize, tc.oldAvailable)
		sizes := map[*appsv1.ReplicaSet]int32{rs: tc.oldSize}
		dropUnhealthy([]*appsv1.ReplicaSet{rs}, sizes, tc.spare)
		if got := tc.oldSize - sizes[rs]; got != tc.want {
			t.Errorf("%+v: dropped %d", tc, got)
		}
	}
}

func TestScaleDownOld(t *testing.T) {
	tests := []struct {
		replicas           int32
		maxUnavailable     string
		available, oldSize int32
		want               *int32
	}{
		{10, "0", 10, 10, ptr[int32](9)},
		{10, "2", 10, 10, ptr[int32](8)},
		{10, "2", 8, 10, nil},
		{10, "2", 10, 0, nil},
		{10, "2", 1, 10, nil},
	}
	for _, tc := range tests {
		t.Run(fmt.Sprint(tc.available, tc.oldSize), func(t *testing.T) {
			l := limitsFor(t, deployment(tc.replicas, "0", tc.maxUnavailable))
			old := withStatus(set("old", tc.oldSize, 0), tc.oldSize, tc.available)
			sizes := map[*appsv1.ReplicaSet]int32{old: tc.oldSize}
			dropSpare([]*appsv1.ReplicaSet{old}, sizes, keptAvailable(old)-l.least())
			want := tc.oldSize
			if tc.want != nil {
				want = *tc.want
			}
			if sizes[old] != want {
				t.Errorf("got %d, want %d", sizes[old], want)
			}
		})
	}
}

// TestScaleDownOldKeepsWhatMayRecover: ten Pods, at most three more and two
// unavailable. Of three templates the first works and the second does not.
func TestScaleDownOldKeepsWhatMayRecover(t *testing.T) {
	l := limits{rolling: true, replicas: 10, surge: 3, unavailable: 2}
	make := func(name string, size, available int32, age time.Duration) *appsv1.ReplicaSet {
		return withStatus(set(name, size, age), size, available)
	}
	tests := []struct {
		name  string
		newRS *appsv1.ReplicaSet
		old   []*appsv1.ReplicaSet
		want  map[string]int32
	}{
		{"an old Pod is lost while the new ones do not work", make("second", 5, 0, 0),
			[]*appsv1.ReplicaSet{make("first", 8, 7, time.Hour)}, map[string]int32{}},
		{"rolled back", make("first", 8, 7, time.Hour),
			[]*appsv1.ReplicaSet{make("second", 5, 0, 0)}, map[string]int32{"second": 1}},
		{"rolled over", make("third", 0, 0, 0),
			[]*appsv1.ReplicaSet{make("first", 8, 8, 2*time.Hour), make("second", 5, 0, time.Hour)}, map[string]int32{"second": 0}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := map[string]int32{}
			for _, r := range scaleDownOld(l, tc.newRS, tc.old) {
				got[r.rs.Name] = r.size
			}
			if !maps.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// TestScaleDownOldMistrustsStaleStatus: the new ReplicaSet was made smaller and
// larger again, and reports the Pods it had before.
func TestScaleDownOldMistrustsStaleStatus(t *testing.T) {
	l := limits{rolling: true, replicas: 4, surge: 1, unavailable: 2}
	newRS := withStatus(set("new", 3, 0), 2, 2)
	old := withStatus(set("old", 2, time.Hour), 2, 2)
	newRS.Generation, newRS.Status.ObservedGeneration = 3, 2
	if got := scaleDownOld(l, newRS, []*appsv1.ReplicaSet{old}); len(got) != 0 {
		t.Errorf("resizes %d, want none", len(got))
	}
	newRS.Status.ObservedGeneration = 3
	if got := scaleDownOld(l, newRS, []*appsv1.ReplicaSet{old}); len(got) != 1 || got[0].size != 0 {
		t.Errorf("resizes %v, want the old one to 0", got)
	}
}

func TestScaleDownOldTakesOldestFirst(t *testing.T) {
	l := limits{rolling: true, replicas: 10, unavailable: 4}
	oldest := withStatus(set("oldest", 3, 2*time.Hour), 3, 3)
	older := withStatus(set("older", 4, time.Hour), 4, 2)
	newRS := withStatus(set("new", 3, 0), 3, 3)
	got := map[string]int32{}
	for _, r := range scaleDownOld(l, newRS, []*appsv1.ReplicaSet{oldest, older}) {
		got[r.rs.Name] = r.size
	}
	// Two unhealthy of the older one go, then two healthy of the oldest: six stay.
	if len(got) != 2 || got["oldest"] != 1 || got["older"] != 2 {
		t.Errorf("got %v, want oldest 1 and older 2", got)
	}
}

func TestOldPodsRunning(t *testing.T) {
	type phases map[string][]corev1.PodPhase
	tests := []struct {
		name   string
		status []int32
		pods   phases
		want   bool
	}{
		{"no old RSs", nil, nil, false},
		{"running pods", []int32{0, 0}, phases{"0": {"", ""}, "1": {"", ""}}, true},
		{"status replicas only", []int32{1}, nil, true},
		{"nothing", []int32{0}, nil, false},
		{"terminal pods only", []int32{0}, phases{"0": {corev1.PodFailed, corev1.PodSucceeded}}, false},
		{"unknown phase", []int32{0}, phases{"0": {corev1.PodUnknown}}, true},
		{"pending", []int32{0}, phases{"0": {corev1.PodPending}}, true},
		{"running", []int32{0}, phases{"0": {corev1.PodRunning}}, true},
		{"terminal and pending", []int32{0, 0, 0}, phases{"0": {corev1.PodFailed, corev1.PodSucceeded}, "1": {}, "2": {corev1.PodPending}}, true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var old []*appsv1.ReplicaSet
			for i, replicas := range tc.status {
				old = append(old, withStatus(set(strconv.Itoa(i), 0, 0), replicas, 0))
			}
			pods := func(rs *appsv1.ReplicaSet) []*corev1.Pod {
				var pods []*corev1.Pod
				for _, phase := range tc.pods[rs.Name] {
					pods = append(pods, &corev1.Pod{Status: corev1.PodStatus{Phase: phase}})
				}
				return pods
			}
			if got := oldPodsRunning(old, pods); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestRecreateScalesOldToZero(t *testing.T) {
	d := recreating(3)
	old := withStatus(owned(t, d, "v0", 3, 1, time.Hour), 3, 3)
	plan := mustSync(t, Input{Deployment: d, ReplicaSets: []*appsv1.ReplicaSet{old}})
	wantSize(t, plan, old, ptr[int32](0))
	if plan.Create != nil {
		t.Error("the new ReplicaSet must wait")
	}
	if len(plan.Events) != 1 || plan.Events[0].Message != "Scaled down replica set "+old.Name+" from 3 to 0" {
		t.Errorf("events %v", plan.Events)
	}
}
