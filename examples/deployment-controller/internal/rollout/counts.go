package rollout

import (
	appsv1 "k8s.io/api/apps/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/replicas"
)

// sum adds up what of says about each ReplicaSet.
func sum(sets []*appsv1.ReplicaSet, of func(*appsv1.ReplicaSet) int32) int32 {
	total := int32(0)
	for _, rs := range sets {
		total += of(rs)
	}
	return total
}

func size(rs *appsv1.ReplicaSet) int32           { return replicas.Replicas(rs) }
func statusReplicas(rs *appsv1.ReplicaSet) int32 { return rs.Status.Replicas }
func ready(rs *appsv1.ReplicaSet) int32          { return rs.Status.ReadyReplicas }
func available(rs *appsv1.ReplicaSet) int32      { return rs.Status.AvailableReplicas }

// keptAvailable is how many Pods stay available once the ReplicaSet has its
// size. It deletes the others first, but counts before it deletes, so a status
// must not be taken at its word when it reports more than that size, or when it
// is from before a change of the size.
func keptAvailable(rs *appsv1.ReplicaSet) int32 { return keptAvailableAt(rs, size(rs)) }

func keptAvailableAt(rs *appsv1.ReplicaSet, size int32) int32 {
	if rs.Generation > rs.Status.ObservedGeneration {
		return 0
	}
	return min(size, available(rs))
}

// terminating adds up the terminating Pods, or returns nil when a ReplicaSet
// does not tell. One that was never synced has none to tell of.
func terminating(sets []*appsv1.ReplicaSet) *int32 {
	total := int32(0)
	for _, rs := range sets {
		switch count := rs.Status.TerminatingReplicas; {
		case count != nil:
			total += *count
		case rs.Status.ObservedGeneration > 0:
			return nil
		}
	}
	return &total
}

// active keeps the ReplicaSets that are to have Pods.
func active(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	var kept []*appsv1.ReplicaSet
	for _, rs := range sets {
		if size(rs) > 0 {
			kept = append(kept, rs)
		}
	}
	return kept
}
