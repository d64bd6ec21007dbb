package rollout

import (
	appsv1 "k8s.io/api/apps/v1"
)

// nextSize returns the next size of the new ReplicaSet, which has the given size, when
// all ReplicaSets together have total Pods. Surge bounds only a rolling update: with
// Recreate the others have no Pods left.
func nextSize(l limits, total, size int32) int32 {
	if !l.rolling {
		return l.replicas
	}
	room := int64(l.most()) - int64(total)
	if room <= 0 {
		return size
	}
	return clampSize(int64(size) + min(room, int64(l.replicas)-int64(size)))
}

// scaleDownOld shrinks old ReplicaSets, ordered oldest first, as far as the minimum of
// available Pods allows. Only available Pods of the new ReplicaSet count: otherwise a
// broken one would replace the old ones.
func scaleDownOld(l limits, newRS *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) []resize {
	spare := int64(sum(old, size)) + int64(keptAvailable(newRS)) - int64(l.least())
	if spare <= 0 {
		return nil
	}
	sizes := make(map[*appsv1.ReplicaSet]int32, len(old))
	for _, rs := range old {
		sizes[rs] = size(rs)
	}
	dropUnhealthy(old, sizes, clampSize(spare))
	kept := int64(keptAvailable(newRS))
	for _, rs := range old {
		kept += int64(keptAvailableAt(rs, sizes[rs]))
	}
	dropSpare(old, sizes, clampSize(kept-int64(l.least())))
	return shrunk(old, sizes)
}

// dropUnhealthy removes at most spare Pods that are not available. The ReplicaSet deletes
// such Pods first, so nothing is lost. Otherwise Pods that never get ready would block
// the rollout.
func dropUnhealthy(old []*appsv1.ReplicaSet, sizes map[*appsv1.ReplicaSet]int32, spare int32) {
	for _, rs := range old {
		drop := max(0, min(spare, sizes[rs]-max(0, available(rs))))
		sizes[rs] -= drop
		spare -= drop
	}
}

// dropSpare removes at most spare Pods, whatever their health.
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
