package rollout

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
)

// resize is a ReplicaSet and its next size.
type resize struct {
	rs   *appsv1.ReplicaSet
	size int32
}

// wasScaled reports whether the Deployment's size has changed since its ReplicaSets were
// last resized. It ignores ReplicaSets without the annotation.
func wasScaled(l limits, sets []*appsv1.ReplicaSet) bool {
	return slices.ContainsFunc(active(sets), func(rs *appsv1.ReplicaSet) bool {
		desired, ok := countAnnotation(rs, DesiredReplicasAnnotation)
		return ok && desired != l.replicas
	})
}

// shareOut returns the sizes after a Deployment was scaled, or while it is paused.
// statusReplicas is the Deployment's status.replicas. Other ReplicaSets keep their size.
//
// If only one ReplicaSet has Pods, or else the newest if none has, it gets the whole
// size. If the new ReplicaSet is complete, the others get zero. Otherwise a rolling
// update is under way and the sizes change in proportion, so that the risk of a bad
// template stays the same. Another strategy decides the sizes itself.
func shareOut(l limits, statusReplicas int32, newRS *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) []resize {
	if only := activeOrLatest(newRS, old); only != nil {
		return []resize{{rs: only, size: l.replicas}}
	}
	var resizes []resize
	switch {
	case newRS == nil && len(old) == 0:
	case saturated(l, newRS):
		for _, rs := range active(old) {
			resizes = append(resizes, resize{rs: rs})
		}
	case l.rolling:
		resizes = proportional(l, statusReplicas, active(withNew(newRS, old)))
	default:
		for _, rs := range active(withNew(newRS, old)) {
			resizes = append(resizes, resize{rs: rs, size: size(rs)})
		}
	}
	return resizes
}

// activeOrLatest returns the only active ReplicaSet, or the latest one if none is
// active, or nil if several are active. old is ordered oldest first.
func activeOrLatest(newRS *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) *appsv1.ReplicaSet {
	switch candidates := active(withNew(newRS, old)); {
	case len(candidates) == 1:
		return candidates[0]
	case len(candidates) > 1:
		return nil
	case newRS != nil:
		return newRS
	case len(old) > 0:
		return old[len(old)-1]
	}
	return nil
}

func withNew(newRS *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	all := slices.Clone(old)
	if newRS != nil {
		all = append(all, newRS)
	}
	return all
}

// saturated reports whether the new ReplicaSet has the Deployment's whole size, was
// meant to, and is available.
func saturated(l limits, rs *appsv1.ReplicaSet) bool {
	if rs == nil {
		return false
	}
	desired, ok := countAnnotation(rs, DesiredReplicasAnnotation)
	return ok && desired == l.replicas && size(rs) == l.replicas && keptAvailable(rs) == l.replicas
}

// proportional distributes the Deployment's size plus surge over the active
// ReplicaSets, largest first. The largest one takes the rounding difference, and the
// next one if the largest has no more to give.
func proportional(l limits, statusReplicas int32, sets []*appsv1.ReplicaSet) []resize {
	allowed := l.most()
	if l.replicas == 0 {
		allowed = 0
	}
	toAdd := int64(allowed) - int64(sum(sets, size))
	resizes := make([]resize, len(sets))
	left := toAdd
	for i, rs := range largestFirst(sets, toAdd) {
		change := int64(0)
		if left != 0 {
			change = clampChange(int64(fraction(l, statusReplicas, rs)), left)
		}
		resizes[i] = resize{rs: rs, size: clampSize(int64(size(rs)) + change)}
		left -= int64(resizes[i].size - size(rs))
	}
	for i := range resizes {
		after := clampSize(int64(resizes[i].size) + left)
		left -= int64(after - resizes[i].size)
		resizes[i].size = after
	}
	return resizes
}

// clampChange limits the change of a ReplicaSet to the rest that is left.
func clampChange(change, left int64) int64 {
	if left > 0 {
		return min(change, left)
	}
	return max(change, left)
}

func clampSize(size int64) int32 { return int32(min(max(size, 0), math.MaxInt32)) }

// largestFirst sorts by size. Among equals the newer grows first and the older shrinks
// first.
func largestFirst(sets []*appsv1.ReplicaSet, toAdd int64) []*appsv1.ReplicaSet {
	return slices.SortedStableFunc(slices.Values(sets), func(a, b *appsv1.ReplicaSet) int {
		byAge := compareAge(a, b)
		if toAdd > 0 {
			byAge = -byAge
		}
		return cmp.Or(cmp.Compare(size(b), size(a)), byAge)
	})
}

// fraction returns the change that keeps a ReplicaSet's share of the Deployment. The
// share relates to the Deployment's maximum when the ReplicaSet was last resized or, if
// it has no such annotation, to the Deployment's current replicas.
func fraction(l limits, statusReplicas int32, rs *appsv1.ReplicaSet) int32 {
	if l.replicas == 0 {
		return -size(rs)
	}
	base, _ := countAnnotation(rs, MaxReplicasAnnotation)
	if base == 0 {
		base = statusReplicas
	}
	if base == 0 {
		return 0
	}
	share := math.Round(float64(size(rs)) * float64(l.most()) / float64(base))
	return int32(min(share, math.MaxInt32)) - size(rs)
}

// setSizeAnnotations records the Deployment's size on the ReplicaSet, and reports
// whether it changed.
func setSizeAnnotations(rs *appsv1.ReplicaSet, l limits) bool {
	desired, most := strconv.Itoa(int(l.replicas)), strconv.Itoa(int(l.most()))
	if rs.Annotations[DesiredReplicasAnnotation] == desired && rs.Annotations[MaxReplicasAnnotation] == most {
		return false
	}
	if rs.Annotations == nil {
		rs.Annotations = make(map[string]string)
	}
	rs.Annotations[DesiredReplicasAnnotation] = desired
	rs.Annotations[MaxReplicasAnnotation] = most
	return true
}

// countAnnotation reads an annotation that counts Pods.
func countAnnotation(rs *appsv1.ReplicaSet, key string) (int32, bool) {
	n, err := strconv.ParseInt(rs.Annotations[key], 10, 32)
	if err != nil || n < 0 {
		return 0, false
	}
	return int32(n), true
}
