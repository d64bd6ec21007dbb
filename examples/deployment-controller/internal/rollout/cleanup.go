package rollout

import (
	"cmp"
	"math"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
)

// surplus returns the old ReplicaSets that are beyond the Deployment's history
// limit: those with the lowest revisions, and of equal ones the oldest. One that
// has Pods, or may have some that its controller has not reported yet, is kept
// even so.
func surplus(d *appsv1.Deployment, old []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	limit := d.Spec.RevisionHistoryLimit
	if limit == nil || *limit == math.MaxInt32 {
		return nil
	}
	alive := slices.DeleteFunc(slices.Clone(old), func(rs *appsv1.ReplicaSet) bool { return rs.DeletionTimestamp != nil })
	excess := len(alive) - int(*limit)
	if excess <= 0 {
		return nil
	}
	slices.SortFunc(alive, compareRevision)
	return slices.DeleteFunc(alive[:min(excess, len(alive))], func(rs *appsv1.ReplicaSet) bool { return !unused(rs) })
}

func unused(rs *appsv1.ReplicaSet) bool {
	return size(rs) == 0 && rs.Status.Replicas == 0 && rs.Generation <= rs.Status.ObservedGeneration
}

func compareRevision(a, b *appsv1.ReplicaSet) int {
	revisionA, _ := revisionOf(a)
	revisionB, _ := revisionOf(b)
	return cmp.Or(cmp.Compare(revisionA, revisionB), compareAge(a, b))
}
