package rollout

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// none stands for there being no new ReplicaSet.
const none = -1

type scaleCase struct {
	name                                                   string
	replicas, oldReplicas, surge, oldSurge, maxUnavailable int32
	newRS                                                  int32
	old                                                    []int32
	wantNew                                                int32
	wantOld                                                []int32
	desired                                                map[int]int32 // of old ones, where not oldReplicas
	left                                                   []string
}

func scaleCases() []scaleCase {
	o := func(sizes ...int32) []int32 { return sizes }
	return []scaleCase{
		{name: "normal 10 -> 12", replicas: 12, oldReplicas: 10, newRS: 10, wantNew: 12},
		{name: "normal 10 -> 5", replicas: 5, oldReplicas: 10, newRS: 10, wantNew: 5},
		{name: "proportional 5 -> 10", replicas: 10, oldReplicas: 5, newRS: 2, old: o(3), wantNew: 4, wantOld: o(6)},
		{name: "proportional 5 -> 3", replicas: 3, oldReplicas: 5, newRS: 2, old: o(3), wantNew: 1, wantOld: o(2)},
		{name: "proportional 9 -> 4", replicas: 4, oldReplicas: 9, newRS: 8, old: o(1), wantNew: 4, wantOld: o(0)},
		{name: "proportional 7 -> 10", replicas: 10, oldReplicas: 7, newRS: 2, old: o(3, 2), wantNew: 3, wantOld: o(4, 3)},
		{name: "proportional 13 -> 8", replicas: 8, oldReplicas: 13, newRS: 2, old: o(8, 3), wantNew: 1, wantOld: o(5, 2)},
		{name: "leftover 3 -> 4 goes to newest", replicas: 4, oldReplicas: 3, newRS: 1, old: o(1, 1), wantNew: 2, wantOld: o(1, 1)},
		{name: "leftover 3 -> 2 taken from oldest", replicas: 2, oldReplicas: 3, newRS: 1, old: o(1, 1), wantNew: 1, wantOld: o(1, 0)},
		{name: "no new rs 4 -> 5", replicas: 5, oldReplicas: 4, newRS: none, old: o(2, 2), wantNew: none, wantOld: o(3, 2)},
		{name: "6 -> 0", replicas: 0, oldReplicas: 6, newRS: 3, old: o(2, 1), wantNew: 0, wantOld: o(0, 0)},
		{name: "0 -> 6 scales the latest only", replicas: 6, oldReplicas: 6, newRS: 0, old: o(0, 0), wantNew: 6, wantOld: o(0, 0)},
		{name: "deployment with surge pods", replicas: 20, oldReplicas: 10, surge: 2, oldSurge: 2, newRS: 6, old: o(6), wantNew: 11, wantOld: o(11)},
		{name: "change both surge and size", replicas: 50, oldReplicas: 10, surge: 6, oldSurge: 3, newRS: 5, old: o(8), wantNew: 22, wantOld: o(34)},
		{name: "change both size and template", replicas: 14, oldReplicas: 10, newRS: none, old: o(7, 3), wantNew: none, wantOld: o(10, 4)},
		{name: "saturated but broken new RS leaves old pods", replicas: 2, oldReplicas: 2, surge: 1, oldSurge: 1, maxUnavailable: 1,
			newRS: 2, old: o(1), wantNew: 2, wantOld: o(1)},
		{name: "failed rs update (retry)", replicas: 5, oldReplicas: 5, newRS: 2, old: o(1, 1), desired: map[int]int32{0: 3},
			wantNew: 2, wantOld: o(2, 1), left: []string{"new", "old1"}},
		{name: "no new rs 0 -> 3 scales the newest old one", replicas: 3, oldReplicas: 0, newRS: none, old: o(0, 0), wantNew: none, wantOld: o(3, 0)},
	}
}

// build makes the Deployment and its ReplicaSets: the new one if any, then the
// old ones, newest first.
func (tc scaleCase) build(t *testing.T) (*appsv1.Deployment, []*appsv1.ReplicaSet) {
	t.Helper()
	d := deployment(tc.replicas, strconv.Itoa(int(tc.surge)), strconv.Itoa(int(tc.maxUnavailable)))
	before := d.DeepCopy()
	before.Spec.Replicas = &tc.oldReplicas
	before.Spec.Strategy.RollingUpdate.MaxSurge = ptr(intstr.FromInt32(tc.oldSurge))
	var sets []*appsv1.ReplicaSet
	add := func(name, image string, replicas int32, revision int64, age time.Duration) {
		rs := owned(t, before, image, replicas, revision, age)
		rs.Name = name
		sets = append(sets, rs)
	}
	if tc.newRS != none {
		add("new", "v1", tc.newRS, 9, 0)
	}
	for i, replicas := range tc.old {
		add(fmt.Sprint("old", i), fmt.Sprint("v0-", i), replicas, int64(8-i), time.Duration(i+1)*time.Hour)
	}
	for i, desired := range tc.desired {
		rs := sets[len(sets)-len(tc.old)+i]
		rs.Annotations[DesiredReplicasAnnotation] = strconv.Itoa(int(desired))
		rs.Annotations[MaxReplicasAnnotation] = strconv.Itoa(int(desired + tc.oldSurge))
	}
	return d, sets
}

// TestShareOut runs the cases as syncs of a paused Deployment, which is shared
// out whether or not it was scaled.
func TestShareOut(t *testing.T) {
	for _, tc := range scaleCases() {
		t.Run(tc.name, func(t *testing.T) {
			d, sets := tc.build(t)
			d.Spec.Paused = true
			plan := mustSync(t, Input{Deployment: d, ReplicaSets: sets})
			want := map[string]int32{"new": tc.wantNew}
			for i, size := range tc.wantOld {
				want[fmt.Sprint("old", i)] = size
			}
			most := strconv.Itoa(int(tc.replicas + tc.surge))
			for _, rs := range sets {
				after := updated(plan, rs.Name)
				if after == nil {
					after = rs
				}
				if size(after) != want[rs.Name] {
					t.Errorf("%s: size %d, want %d", rs.Name, size(after), want[rs.Name])
				}
				if size(after) > 0 && after.Annotations[MaxReplicasAnnotation] != most {
					t.Errorf("%s: annotations %v, want at most %s", rs.Name, after.Annotations, most)
				}
			}
			for _, name := range tc.left {
				if updated(plan, name) != nil {
					t.Errorf("%s was written needlessly", name)
				}
			}
			if plan.Create != nil {
				t.Error("a paused Deployment created a ReplicaSet")
			}
		})
	}
}

// TestShareOutSettles: after one sync of the same cases the Deployment no longer
// counts as scaled, and sharing out again changes nothing.
func TestShareOutSettles(t *testing.T) {
	for _, tc := range scaleCases() {
		t.Run(tc.name, func(t *testing.T) {
			d, sets := tc.build(t)
			d.Spec.Paused = true
			in := Input{Deployment: d, ReplicaSets: sets}
			plan := mustSync(t, in)
			for i, rs := range sets {
				if after := updated(plan, rs.Name); after != nil {
					sets[i] = after
				}
			}
			in.Deployment = plan.Deployment
			if again := mustSync(t, in); !isEmpty(again) {
				t.Errorf("the second sync plans %+v", again)
			}
			if wasScaled(limitsFor(t, d), sets) {
				t.Error("still counts as scaled")
			}
		})
	}
}

func isEmpty(p Plan) bool {
	return p.Create == nil && len(p.Update)+len(p.Delete)+len(p.Events) == 0 && p.Deployment == nil && p.RequeueAfter == 0
}

func TestSaturatedNewTakesAll(t *testing.T) {
	d := deployment(4, "0", "1")
	newRS := withStatus(owned(t, d, "v1", 4, 2, 0), 4, 4)
	old := withStatus(owned(t, d, "v0", 2, 1, time.Hour), 2, 2)
	old.Annotations[DesiredReplicasAnnotation] = "2"
	plan := mustSync(t, Input{Deployment: d, ReplicaSets: []*appsv1.ReplicaSet{newRS, old}})
	wantSize(t, plan, old, ptr[int32](0))
	wantSize(t, plan, newRS, nil)
}

// TestRecreateScaledWhileBothHavePods happens when the strategy and the size
// change at once in the middle of a rolling update: the sizes are the strategy's
// to decide, but it must get its turn.
func TestRecreateScaledWhileBothHavePods(t *testing.T) {
	rolling := deployment(5, "1", "0")
	newRS, old := owned(t, rolling, "v1", 2, 2, 0), owned(t, rolling, "v0", 4, 1, time.Hour)
	in := Input{Deployment: recreating(7), ReplicaSets: []*appsv1.ReplicaSet{newRS, old}}
	plan := mustSync(t, in)
	if len(plan.Update) != 2 || len(plan.Events) != 0 {
		t.Fatalf("update %v events %v, want annotations only", setNames(plan.Update), plan.Events)
	}
	in.ReplicaSets, in.Deployment = plan.Update, plan.Deployment
	plan = mustSync(t, in)
	wantSize(t, plan, old, ptr[int32](0))
}

// TestStaleAnnotationDoesNotStick: a ReplicaSet that has the right size by
// chance must stop counting as scaled, or nothing would ever be rolled out.
func TestStaleAnnotationDoesNotStick(t *testing.T) {
	d := deployment(5, "1", "0")
	only := owned(t, deployment(3, "1", "0"), "v0", 5, 1, time.Hour)
	in := Input{Deployment: d, ReplicaSets: []*appsv1.ReplicaSet{only}}
	plan := mustSync(t, in)
	if got := updated(plan, only.Name); got == nil || got.Annotations[DesiredReplicasAnnotation] != "5" {
		t.Fatalf("updates %v", plan.Update)
	}
	in.ReplicaSets = plan.Update
	if plan = mustSync(t, in); plan.Create == nil {
		t.Error("the new template is not rolled out")
	}
}

func podsOf(rs *appsv1.ReplicaSet, count int) []*corev1.Pod {
	var pods []*corev1.Pod
	for i := range count {
		pod := &corev1.Pod{}
		pod.Name = fmt.Sprint(rs.Name, "-", i)
		pods = append(pods, pod)
	}
	return pods
}

// lagging returns an Input in which ReplicaSets have more Pods than their sizes.
func lagging(t *testing.T, d *appsv1.Deployment, newSize, newPods, oldSize, oldPods int32) Input {
	newRS := withStatus(owned(t, d, "v1", newSize, 2, 0), newPods, newPods)
	old := withStatus(owned(t, d, "v0", oldSize, 1, time.Hour), oldPods, oldPods)
	return Input{
		Deployment: d, ReplicaSets: []*appsv1.ReplicaSet{newRS, old},
		Pods: func(rs *appsv1.ReplicaSet) []*corev1.Pod { return podsOf(rs, int(rs.Status.Replicas)) },
	}
}

func TestRollingGrowthWaitsForPods(t *testing.T) {
	in := lagging(t, deployment(10, "3", "2"), 3, 3, 5, 9)
	plan := mustSync(t, in)
	wantSize(t, plan, in.ReplicaSets[0], ptr[int32](4))
	if plan.RequeueAfter != podsWait {
		t.Errorf("requeue after %v, want %v", plan.RequeueAfter, podsWait)
	}
}

// TestSharedGrowthWaitsForPods: the Deployment may have 15 Pods, its
// ReplicaSets' shares are 5 and 10, but the old one has 12 for now.
func TestSharedGrowthWaitsForPods(t *testing.T) {
	in := lagging(t, deployment(10, "3", "2"), 4, 4, 9, 12)
	newRS, old := in.ReplicaSets[0], in.ReplicaSets[1]
	in.Deployment = deployment(12, "3", "2")
	plan := mustSync(t, in)
	wantSize(t, plan, newRS, nil)
	wantSize(t, plan, old, ptr[int32](10))
	if updated(plan, newRS.Name) != nil || plan.RequeueAfter != podsWait {
		t.Errorf("a share that was not given counts as given: %+v", plan)
	}

	in.ReplicaSets[1] = withStatus(plan.Update[0], 10, 10)
	plan = mustSync(t, in)
	wantSize(t, plan, newRS, ptr[int32](5))
	if got := updated(plan, newRS.Name).Annotations[DesiredReplicasAnnotation]; got != "12" {
		t.Errorf("desired %s, want 12", got)
	}
}

// TestPausedRecreateWaits: pausing in the middle of a Recreate must not bring up
// one revision beside what is left of another.
func TestPausedRecreateWaits(t *testing.T) {
	d := recreating(3)
	d.Spec.Paused = true
	newRS, old := owned(t, d, "v1", 0, 2, 0), owned(t, d, "v0", 0, 1, time.Hour)
	left := 1
	in := Input{
		Deployment: d, ReplicaSets: []*appsv1.ReplicaSet{newRS, old},
		Pods: func(rs *appsv1.ReplicaSet) []*corev1.Pod {
			if rs.Name != old.Name {
				return nil
			}
			pods := podsOf(rs, left)
			for _, pod := range pods {
				pod.DeletionTimestamp = &metav1.Time{Time: now}
			}
			return pods
		},
	}
	plan := mustSync(t, in)
	wantSize(t, plan, newRS, nil)
	if plan.RequeueAfter != podsWait {
		t.Errorf("requeue after %v, want %v", plan.RequeueAfter, podsWait)
	}
	left = 0
	wantSize(t, mustSync(t, in), newRS, ptr[int32](3))
}
