package rollout

import (
	appsv1 "k8s.io/api/apps/v1"
)

// nextSize is how large the new ReplicaSet of the given size is to be, when all
// ReplicaSets together have total Pods. Only a rolling update is bounded by the
// surge: with Recreate the others have none left.
func nextSize(l limits, total, size int32) int32 {
	if !l.rolling {
		return l.replicas
	}
	room := int64(l.most()) - int64(total)
	if room <= 0 {
		return size
	}
	return size + int32(min(room, int64(l.replicas-size)))
}

// scaleDownOld makes old ReplicaSets, ordered oldest first, smaller by as much
// as the minimum of available Pods allows. Of the new one only what works
// counts, or one that does not come up would eat up the old ones.
func scaleDownOld(l limits, newRS *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) []resize {
	spare := sum(old, size) + keptAvailable(newRS) - l.least()
	if spare <= 0 {
		return nil
	}
	sizes := make(map[*appsv1.ReplicaSet]int32, len(old))
	for _, rs := range old {
		sizes[rs] = size(rs)
	}
	dropUnhealthy(old, sizes, spare)
	kept := keptAvailable(newRS)
	for _, rs := range old {
		kept += keptAvailableAt(rs, sizes[rs])
	}
	dropSpare(old, sizes, kept-l.least())
	return shrunk(old, sizes)
}

// dropUnhealthy takes at most spare Pods that are not available: the ReplicaSet
// deletes such first, so nothing is lost. Otherwise Pods that will never work
// would hold up the rollout.
func dropUnhealthy(old []*appsv1.ReplicaSet, sizes map[*appsv1.ReplicaSet]int32, spare int32) {
	for _, rs := range old {
		drop := max(0, min(spare, sizes[rs]-available(rs)))
		sizes[rs] -= drop
		spare -= drop
	}
}

// dropSpare takes at most spare Pods, whatever their health.
func dropSpare(old []*appsv1.ReplicaSet, sizes map[*appsv1.ReplicaSet]int32, spare int32) {
	for _, rs := range old {
		drop := max(0, min(spare, sizes[rs]))
		sizes[rs] -= drop
		spare -= drop
	}
}

func shrunk(old []*appsv1.ReplicaSet, sizes map[*appsv1.ReplicaSet]int32) []resize {
	var resizes []resize
	for _, rs := range old {
		if sizes[rs] < size(rs) {
			resizes = append(resizes, resize{rs: rs, size: sizes[rs]})
		}
	}
	return resizes
}
