package rollout

import (
	appsv1 "k8s.io/api/apps/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/replicas"
)

// sum returns the sum of count over the ReplicaSets, from 0 to the highest int32.
func sum(sets []*appsv1.ReplicaSet, count func(*appsv1.ReplicaSet) int32) int32 {
	total := int64(0)
	for _, rs := range sets {
		total += int64(count(rs))
	}
	return clampSize(total)
}

func size(rs *appsv1.ReplicaSet) int32           { return replicas.Replicas(rs) }
func statusReplicas(rs *appsv1.ReplicaSet) int32 { return rs.Status.Replicas }
func ready(rs *appsv1.ReplicaSet) int32          { return rs.Status.ReadyReplicas }
func available(rs *appsv1.ReplicaSet) int32      { return rs.Status.AvailableReplicas }

// keptAvailable returns the number of Pods that stay available once the ReplicaSet has
// reached its size. The ReplicaSet controller deletes unavailable Pods first, but it
// counts before it deletes. So a status that reports more than the size counts only up
// to the size, and a status from before the last change of the size counts as 0.
func keptAvailable(rs *appsv1.ReplicaSet) int32 { return keptAvailableAt(rs, size(rs)) }

func keptAvailableAt(rs *appsv1.ReplicaSet, size int32) int32 {
	if rs.Generation > rs.Status.ObservedGeneration {
		return 0
	}
	return min(size, available(rs))
}

// terminating returns the number of terminating Pods, or nil if a ReplicaSet does not
// report it. A ReplicaSet that was never synced has none.
func terminating(sets []*appsv1.ReplicaSet) *int32 {
	total := int64(0)
	for _, rs := range sets {
		switch count := rs.Status.TerminatingReplicas; {
		case count != nil:
			total += int64(*count)
		case rs.Status.ObservedGeneration > 0:
			return nil
		}
	}
	clamped := clampSize(total)
	return &clamped
}

// active returns the ReplicaSets whose size is not zero.
func active(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	var kept []*appsv1.ReplicaSet
	for _, rs := range sets {
		if size(rs) > 0 {
			kept = append(kept, rs)
		}
	}
	return kept
}
