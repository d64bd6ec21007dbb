package replicas

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mustSync syncs, and checks that what was passed in is as it was.
func mustSync(t *testing.T, in Input) Plan {
	t.Helper()
	rs := in.ReplicaSet.DeepCopy()
	pods := make([]*corev1.Pod, len(in.Pods))
	for i, pod := range in.Pods {
		pods[i] = pod.DeepCopy()
	}
	plan, err := Sync(in)
	if err != nil {
		t.Fatal(err)
	}
	if !equality.Semantic.DeepEqual(rs, in.ReplicaSet) || !equality.Semantic.DeepEqual(pods, in.Pods) {
		t.Error("the input was changed")
	}
	return plan
}

func running(rs *appsv1.ReplicaSet, count int) []*corev1.Pod {
	var pods []*corev1.Pod
	for i := range count {
		pods = append(pods, ownedPod(rs, fmt.Sprint("pod-", i)))
	}
	return pods
}

func empty(p Plan) bool {
	return len(p.Create)+len(p.Delete)+len(p.Update) == 0 && p.ReplicaSet == nil && p.RequeueAfter == 0
}

func TestSyncCreatesFromTemplate(t *testing.T) {
	plan := mustSync(t, Input{ReplicaSet: replicaSet(3), Now: now})
	if len(plan.Create) != 3 || len(plan.Delete) != 0 {
		t.Fatalf("create %d delete %d, want 3 and 0", len(plan.Create), len(plan.Delete))
	}
	pod := plan.Create[0]
	want := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "ns", GenerateName: "web-",
			Labels:      map[string]string{"app": "web", "tier": "front"},
			Annotations: map[string]string{"note": "x"},
			Finalizers:  []string{"example.com/wait"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "web-uid",
				Controller: ptr(true), BlockOwnerDeletion: ptr(true),
			}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "web:1"}}},
	}
	if !equality.Semantic.DeepEqual(pod, want) {
		t.Errorf("created %+v", pod)
	}
	pod.Labels["app"] = "mine"
	if plan.Create[1].Labels["app"] != "web" {
		t.Error("two new Pods share their labels")
	}
}

func TestSyncNeverAsksForMoreThanABurst(t *testing.T) {
	if got := len(mustSync(t, Input{ReplicaSet: replicaSet(2000), Now: now}).Create); got != DefaultBurst {
		t.Errorf("creates %d, want %d", got, DefaultBurst)
	}
	if got := len(mustSync(t, Input{ReplicaSet: replicaSet(20), Now: now, Burst: 7}).Create); got != 7 {
		t.Errorf("creates %d, want 7", got)
	}
	rs := replicaSet(0)
	if got := len(mustSync(t, Input{ReplicaSet: rs, Pods: running(rs, 9), Now: now, Burst: 7}).Delete); got != 7 {
		t.Errorf("deletes %d, want 7", got)
	}
}

func TestSyncDefaultsToOneReplica(t *testing.T) {
	rs := replicaSet(0)
	rs.Spec.Replicas = nil
	if got := len(mustSync(t, Input{ReplicaSet: rs, Now: now}).Create); got != 1 {
		t.Errorf("creates %d, want 1", got)
	}
}

func TestSyncReplacesInactivePods(t *testing.T) {
	rs := replicaSet(3)
	pods := running(rs, 3)
	pods[0].Status.Phase = corev1.PodFailed
	pods[1].DeletionTimestamp = ptr(ago(0))
	plan := mustSync(t, Input{ReplicaSet: rs, Pods: pods, Now: now})
	if len(plan.Create) != 2 || len(plan.Delete) != 0 || len(plan.Update) != 0 {
		t.Errorf("create %d delete %d update %d, want 2 0 0", len(plan.Create), len(plan.Delete), len(plan.Update))
	}
	if s := plan.ReplicaSet.Status; s.Replicas != 1 || *s.TerminatingReplicas != 1 {
		t.Errorf("status %+v, want 1 replica and 1 terminating", s)
	}
}

func TestSyncSettles(t *testing.T) {
	rs := replicaSet(3)
	in := Input{ReplicaSet: rs, Pods: running(rs, 3), Now: now}
	in.ReplicaSet = mustSync(t, in).ReplicaSet
	if plan := mustSync(t, in); !empty(plan) {
		t.Errorf("a settled ReplicaSet gives %+v", plan)
	}
}

func TestSyncObservesGeneration(t *testing.T) {
	rs := replicaSet(3)
	in := Input{ReplicaSet: rs, Pods: running(rs, 3), Now: now}
	in.ReplicaSet = mustSync(t, in).ReplicaSet.DeepCopy()
	in.ReplicaSet.Generation++
	if plan := mustSync(t, in); plan.ReplicaSet == nil || plan.ReplicaSet.Status.ObservedGeneration != 4 {
		t.Errorf("a new generation gives %+v", plan)
	}
}

func TestSyncClaims(t *testing.T) {
	rs := replicaSet(2)
	pods := running(rs, 3)
	pods[0].OwnerReferences = nil
	pods[1].Labels["app"] = "other"
	plan := mustSync(t, Input{ReplicaSet: rs, Pods: pods, Now: now})
	if got := podNames(plan.Update); !slices.Equal(got, []string{"pod-0", "pod-1"}) {
		t.Fatalf("updates %v, want the adopted and the released", got)
	}
	if !metav1.IsControlledBy(plan.Update[0], rs) || len(plan.Update[1].OwnerReferences) != 0 {
		t.Errorf("owners %v and %v", plan.Update[0].OwnerReferences, plan.Update[1].OwnerReferences)
	}
	if len(plan.Create)+len(plan.Delete) != 0 || plan.ReplicaSet.Status.Replicas != 2 {
		t.Errorf("an adopted Pod must count: %+v", plan)
	}
}

func TestSyncDoesNotUpdateWhatItDeletes(t *testing.T) {
	rs := replicaSet(0)
	pods := running(rs, 2)
	pods[0].OwnerReferences = nil
	plan := mustSync(t, Input{ReplicaSet: rs, Pods: pods, Now: now})
	if len(plan.Delete) != 2 || len(plan.Update) != 0 {
		t.Errorf("delete %v update %v", podNames(plan.Delete), podNames(plan.Update))
	}
}

func TestSyncOfDeletingReplicaSet(t *testing.T) {
	rs := replicaSet(3)
	rs.DeletionTimestamp = ptr(ago(0))
	pods := running(rs, 2)
	pods[0].OwnerReferences = nil
	plan := mustSync(t, Input{ReplicaSet: rs, Pods: pods, Now: now})
	if len(plan.Create)+len(plan.Delete)+len(plan.Update) != 0 {
		t.Errorf("plan %+v, want a status only", plan)
	}
	if plan.ReplicaSet == nil || plan.ReplicaSet.Status.Replicas != 1 {
		t.Errorf("status %+v, want one replica", plan.ReplicaSet)
	}
}

func TestSyncRequeuesForAvailability(t *testing.T) {
	rs := replicaSet(3)
	rs.Spec.MinReadySeconds = 60
	pods := running(rs, 3)
	setReady(pods[0], ago(10*time.Second))
	setReady(pods[1], ago(25*time.Second))
	in := Input{ReplicaSet: rs, Pods: pods, Now: now}
	if got := mustSync(t, in).RequeueAfter; got != 35*time.Second {
		t.Errorf("requeue after %v, want 35s", got)
	}
	in.Now = now.Add(35 * time.Second)
	plan := mustSync(t, in)
	if plan.RequeueAfter != 15*time.Second || plan.ReplicaSet.Status.AvailableReplicas != 2 {
		t.Errorf("after 35s: requeue %v available %d, want 15s and 2", plan.RequeueAfter, plan.ReplicaSet.Status.AvailableReplicas)
	}
	in.Now = now.Add(time.Minute)
	if got := mustSync(t, in).RequeueAfter; got != 0 {
		t.Errorf("requeue after %v once all are available", got)
	}
}

func TestSyncPrefersTheCrowdedNode(t *testing.T) {
	rs, sibling := replicaSet(1), replicaSet(1)
	pods := running(rs, 2)
	pods[1].Spec.NodeName = "crowded"
	other := ownedPod(sibling, "other")
	other.Spec.NodeName = "crowded"
	plan := mustSync(t, Input{ReplicaSet: rs, Pods: pods, Related: append(slices.Clone(pods), other), Now: now})
	if got := podNames(plan.Delete); !slices.Equal(got, []string{"pod-1"}) {
		t.Errorf("deletes %v, want pod-1", got)
	}
}

func TestFailed(t *testing.T) {
	rs := replicaSet(3)
	in := Input{ReplicaSet: rs, Pods: running(rs, 1), Now: now}
	failed := Failed(in, errors.New("no room"))
	conditions := failed.ReplicaSet.Status.Conditions
	if failed.Reason != ReasonFailedCreate || len(conditions) != 1 || conditions[0].Reason != ReasonFailedCreate || conditions[0].Message != "no room" {
		t.Errorf("conditions %v", conditions)
	}
	in.ReplicaSet = failed.ReplicaSet
	if again := Failed(in, errors.New("still no room")); again.ReplicaSet != nil {
		t.Error("a standing failure was written again")
	}
	if next := mustSync(t, in); len(next.ReplicaSet.Status.Conditions) != 0 || len(next.Create) != 2 {
		t.Errorf("the next sync plans %+v", next)
	}
}

func TestSyncRefusesInvalidReplicaSets(t *testing.T) {
	tests := map[string]func(*appsv1.ReplicaSet){
		"no selector":    func(rs *appsv1.ReplicaSet) { rs.Spec.Selector = nil },
		"empty selector": func(rs *appsv1.ReplicaSet) { rs.Spec.Selector = &metav1.LabelSelector{} },
		"malformed selector": func(rs *appsv1.ReplicaSet) {
			rs.Spec.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "a", Operator: "?"}}
		},
		"template not matched": func(rs *appsv1.ReplicaSet) { rs.Spec.Template.Labels = nil },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			rs := replicaSet(1)
			spoil(rs)
			in := Input{ReplicaSet: rs, Now: now}
			if _, err := Sync(in); err == nil || !strings.Contains(err.Error(), "ns/web") {
				t.Errorf("Sync error %v, want one that names the object", err)
			}
			refused := Refuse(in, errors.New("x"))
			if refused.Reason != ReasonInvalid || refused.ReplicaSet.Status.ObservedGeneration != rs.Generation ||
				refused.ReplicaSet.Status.Conditions[0].Message != "x" {
				t.Errorf("refused %+v", refused)
			}
			if in.ReplicaSet = refused.ReplicaSet; Failed(in, errors.New("x")).ReplicaSet != nil {
				t.Error("a standing failure was written again")
			}
		})
	}
}

func TestNamePrefix(t *testing.T) {
	long := strings.Repeat("a", 253)
	for name, want := range map[string]string{"web": "web-", long: long, long[:252]: long[:252] + "-"} {
		if got := namePrefix(name); got != want {
			t.Errorf("prefix of %d characters: %q", len(name), got)
		}
	}
}
