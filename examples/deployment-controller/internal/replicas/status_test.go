package replicas

import (
	"errors"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func ptr[T any](v T) *T { return &v }

// replicaSet selects app=web and labels its Pods with tier=front as well.
func replicaSet(replicas int32) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "ns", UID: "web-uid", Generation: 3},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{
					Name:        "ignored",
					Labels:      map[string]string{"app": "web", "tier": "front"},
					Annotations: map[string]string{"note": "x"},
					Finalizers:  []string{"example.com/wait"},
				},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "web:1"}}},
			},
		},
	}
}

// ownedPod returns a Pod of rs as it would have created it, running and ready.
func ownedPod(rs *appsv1.ReplicaSet, name string) *corev1.Pod {
	pod := newPod(rs)
	pod.Name, pod.UID = name, types.UID("uid-"+name)
	pod.Spec.NodeName = "node"
	pod.Status.Phase = corev1.PodRunning
	setReady(pod, ago(time.Hour))
	return pod
}

func TestCalculateStatus(t *testing.T) {
	type pod struct {
		full         bool
		phase        corev1.PodPhase
		secondsReady *int
	}
	full, partly := pod{true, corev1.PodRunning, nil}, pod{false, corev1.PodRunning, nil}
	tests := []struct {
		name            string
		feature         bool
		minReadySeconds int32
		active          []pod
		terminating     int
		want            [4]int32
		wantTerminating *int32
	}{
		{"1 fully labelled", false, 0, []pod{full}, 0, [4]int32{1, 1, 1, 1}, nil},
		{"1 not fully labelled", false, 0, []pod{partly}, 0, [4]int32{1, 0, 1, 1}, nil},
		{"2 fully labelled", false, 0, []pod{full, full}, 0, [4]int32{2, 2, 2, 2}, nil},
		{"2 fully labelled, feature", true, 0, []pod{full, full}, 0, [4]int32{2, 2, 2, 2}, ptr[int32](0)},
		{"2 not fully labelled", false, 0, []pod{partly, partly}, 0, [4]int32{2, 0, 2, 2}, nil},
		{"1 full, 1 not", false, 0, []pod{full, partly}, 0, [4]int32{2, 1, 2, 2}, nil},
		{"1 non-ready", false, 0, []pod{{true, corev1.PodPending, nil}}, 0, [4]int32{1, 1, 0, 0}, nil},
		{"1 ready not available", false, 3600, []pod{{true, corev1.PodRunning, ptr(0)}}, 0, [4]int32{1, 1, 1, 0}, nil},
		{"1 available exactly at minReadySeconds", false, 3600, []pod{{true, corev1.PodRunning, ptr(3600)}}, 0, [4]int32{1, 1, 1, 1}, nil},
		{"1 available long", false, 3600, []pod{{true, corev1.PodRunning, ptr(7200)}}, 0, [4]int32{1, 1, 1, 1}, nil},
		{"1 ready since unknown", false, 3600, []pod{full}, 0, [4]int32{1, 1, 1, 0}, nil},
		{"1 terminating, no feature", false, 0, []pod{full}, 1, [4]int32{1, 1, 1, 1}, nil},
		{"2 terminating, feature", true, 0, []pod{full}, 2, [4]int32{1, 1, 1, 1}, ptr[int32](2)},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			rs := replicaSet(int32(len(tc.active)))
			rs.Spec.MinReadySeconds = tc.minReadySeconds
			in := Input{ReplicaSet: rs, Now: now, OmitTerminating: !tc.feature}
			for _, p := range tc.active {
				pod := ownedPod(rs, "a")
				pod.Status.Phase, pod.Status.Conditions = p.phase, nil
				if !p.full {
					delete(pod.Labels, "tier")
				}
				if p.phase == corev1.PodRunning {
					setReady(pod, metav1.Time{})
				}
				if p.secondsReady != nil {
					setReady(pod, ago(time.Duration(*p.secondsReady)*time.Second))
				}
				in.Pods = append(in.Pods, pod)
			}
			for range tc.terminating {
				pod := ownedPod(rs, "t")
				pod.DeletionTimestamp = ptr(ago(0))
				in.Pods = append(in.Pods, pod)
			}
			got := calculateStatus(in, in.Pods[:len(tc.active)], nil)
			if counts := [4]int32{got.Replicas, got.FullyLabeledReplicas, got.ReadyReplicas, got.AvailableReplicas}; counts != tc.want {
				t.Errorf("counts %v, want %v", counts, tc.want)
			}
			if (got.TerminatingReplicas == nil) != (tc.wantTerminating == nil) ||
				got.TerminatingReplicas != nil && *got.TerminatingReplicas != *tc.wantTerminating {
				t.Errorf("terminating %v, want %v", got.TerminatingReplicas, tc.wantTerminating)
			}
			if got.ObservedGeneration != 3 {
				t.Errorf("observed generation %d", got.ObservedGeneration)
			}
		})
	}
}

func TestTerminatingCountsOwnRunningPodsOnly(t *testing.T) {
	rs := replicaSet(1)
	deleting := func(change func(*corev1.Pod)) *corev1.Pod {
		pod := ownedPod(rs, "t")
		pod.DeletionTimestamp = ptr(ago(0))
		change(pod)
		return pod
	}
	in := Input{ReplicaSet: rs, Now: now, Pods: []*corev1.Pod{
		deleting(func(*corev1.Pod) {}),
		deleting(func(pod *corev1.Pod) { pod.OwnerReferences = nil }),
		deleting(func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed }),
		deleting(func(pod *corev1.Pod) { pod.Labels = map[string]string{"app": "other"} }),
	}}
	if got := countTerminating(in); got != 1 {
		t.Errorf("counted %d, want 1", got)
	}
}

func TestFailureCondition(t *testing.T) {
	errFake := errors.New("fake manageReplicasErr")
	since := ago(time.Hour)
	standing := appsv1.ReplicaSetCondition{
		Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: ReasonFailedDelete, LastTransitionTime: since,
	}
	tests := []struct {
		name       string
		replicas   int32
		active     int
		had        bool
		err        error
		wantReason string
		wantSince  metav1.Time
	}{
		{"too few", 2, 1, false, errFake, ReasonFailedCreate, ago(0)},
		{"too many", 2, 3, false, errFake, ReasonFailedDelete, ago(0)},
		{"as many as wanted", 2, 2, false, errFake, ReasonFailedAdopt, ago(0)},
		{"recovered", 10, 1, true, nil, "", metav1.Time{}},
		{"standing failure is kept", 10, 1, true, errFake, ReasonFailedDelete, since},
		{"never failed", 10, 1, false, nil, "", metav1.Time{}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			rs := replicaSet(tc.replicas)
			if tc.had {
				rs.Status.Conditions = []appsv1.ReplicaSetCondition{standing}
			}
			got := failureCondition(rs, failureReason(tc.active-int(tc.replicas)), tc.err, now.Add(300*time.Millisecond))
			if tc.wantReason == "" {
				if len(got) != 0 {
					t.Fatalf("conditions %v, want none", got)
				}
				return
			}
			if len(got) != 1 || got[0].Reason != tc.wantReason || !got[0].LastTransitionTime.Equal(&tc.wantSince) {
				t.Errorf("conditions %v, want %s since %v", got, tc.wantReason, tc.wantSince)
			}
		})
	}
}
