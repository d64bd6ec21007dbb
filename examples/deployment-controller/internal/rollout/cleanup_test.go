package rollout

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSurplus(t *testing.T) {
	type sizes [2]int32 // spec, status
	deleting := func(rs *appsv1.ReplicaSet) { rs.DeletionTimestamp = &metav1.Time{Time: now} }
	unobserved := func(rs *appsv1.ReplicaSet) { rs.Generation = 2 }
	same := func(*appsv1.ReplicaSet) {}
	tests := []struct {
		name  string
		old   []sizes
		limit *int32
		edit  func(*appsv1.ReplicaSet)
		want  int
	}{
		{"two of three", []sizes{{0, 0}, {0, 0}, {0, 0}}, ptr[int32](1), same, 2},
		{"only without Pods", []sizes{{0, 0}, {0, 1}, {1, 0}, {1, 1}}, ptr[int32](0), same, 1},
		{"all", []sizes{{0, 0}, {0, 0}}, ptr[int32](0), same, 2},
		{"all in use", []sizes{{1, 1}, {1, 1}}, ptr[int32](0), same, 0},
		{"deleting already", []sizes{{0, 0}}, ptr[int32](0), deleting, 0},
		{"unlimited", []sizes{{0, 0}, {0, 0}, {0, 0}}, ptr[int32](math.MaxInt32), same, 0},
		{"no limit", []sizes{{0, 0}, {0, 0}, {0, 0}}, nil, same, 0},
		{"not observed", []sizes{{0, 0}}, ptr[int32](0), unobserved, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			d := deployment(1, "", "")
			d.Spec.RevisionHistoryLimit = tc.limit
			var old []*appsv1.ReplicaSet
			for i, n := range tc.old {
				rs := withStatus(set(fmt.Sprint("rs", i), n[0], time.Duration(-i)*time.Hour), n[1], 0)
				rs.Generation, rs.Status.ObservedGeneration = 1, 1
				tc.edit(rs)
				old = append(old, rs)
			}
			if got := surplus(d, old); len(got) != tc.want {
				t.Errorf("deletes %v, want %d", setNames(got), tc.want)
			}
		})
	}
}

func TestSurplusOrder(t *testing.T) {
	type rs struct {
		replicas int32
		revision string
	}
	tests := []struct {
		old   []rs
		limit int32
		want  []string
	}{
		{[]rs{{0, "1"}, {0, "2"}}, 1, []string{"rs1"}},
		{[]rs{{0, "2"}, {0, "1"}}, 1, []string{"rs2"}},
		{[]rs{{0, "1"}, {0, ""}}, 1, []string{"rs2"}},
		{[]rs{{0, ""}, {0, "2"}}, 1, []string{"rs1"}},
		{[]rs{{1, "1"}, {0, "2"}, {0, "3"}}, 1, []string{"rs2"}},
		{[]rs{{1, "1"}, {1, "2"}, {0, "3"}}, 1, []string{}},
		{[]rs{{0, "3"}, {0, "1"}, {0, "4"}, {0, "2"}}, 2, []string{"rs2", "rs4"}},
		{[]rs{{0, "10"}, {0, "9"}}, 1, []string{"rs2"}},
		{[]rs{{0, "5"}, {0, "5"}}, 1, []string{"rs1"}},
		// Numbers that cannot count are as old as the ReplicaSet.
		{[]rs{{0, "1"}, {0, "9223372036854775807"}, {0, "2"}}, 1, []string{"rs1", "rs2"}},
		{[]rs{{0, "1"}, {0, "2"}, {0, "9223372036854775807"}}, 1, []string{"rs1", "rs2"}},
		{[]rs{{0, "9223372036854775807"}, {0, "-9223372036854775808"}}, 1, []string{"rs1"}},
		{[]rs{{0, "1"}, {0, "2"}, {0, "-9223372036854775808"}}, 2, []string{"rs1"}},
		{[]rs{{0, "1"}, {0, "99999999999999999999"}, {0, "x"}, {0, "2"}}, 2, []string{"rs1", "rs2"}},
	}
	for _, tc := range tests {
		t.Run(fmt.Sprint(tc.old, tc.limit), func(t *testing.T) {
			d := deployment(1, "", "")
			d.Spec.RevisionHistoryLimit = &tc.limit
			var old []*appsv1.ReplicaSet
			for i, of := range tc.old {
				rs := withStatus(set(fmt.Sprint("rs", i+1), of.replicas, time.Duration(10-i)*time.Hour), of.replicas, 0)
				if of.revision != "" {
					rs.Annotations = map[string]string{RevisionAnnotation: of.revision}
				}
				old = append(old, rs)
			}
			before := setNames(old)
			if got := setNames(surplus(d, old)); !slices.Equal(got, tc.want) {
				t.Errorf("deletes %v, want %v", got, tc.want)
			}
			if !slices.Equal(setNames(old), before) {
				t.Error("the list passed in was reordered")
			}
		})
	}
}
