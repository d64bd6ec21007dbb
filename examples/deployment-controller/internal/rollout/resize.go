package rollout

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/replicas"
)

// podsWait is the time after which to check again for Pods that block a step and are
// about to go. Usually their end changes a ReplicaSet; this is for Pods that another
// client removes.
const podsWait = time.Second

// pods returns the Pods controlled by a ReplicaSet.
func (s *step) pods(rs *appsv1.ReplicaSet) []*corev1.Pod {
	if s.in.Pods == nil {
		return nil
	}
	return s.in.Pods(rs)
}

// occupies returns how many Pods a ReplicaSet has or may get. A shrunk ReplicaSet has
// the Pods of its former size until its controller acts.
func (s *step) occupies(rs *appsv1.ReplicaSet) int32 {
	running := int32(0)
	for _, pod := range s.pods(rs) {
		if replicas.Active(pod) {
			running++
		}
	}
	return max(size(rs), running)
}

// room returns how many Pods may be added.
func (s *step) room() int32 {
	return max(0, s.limits.most()-sum(withNew(s.newRS, s.old), s.occupies))
}

// resize sets a ReplicaSet's size and records the Deployment's size on it.
func (s *step) resize(rs *appsv1.ReplicaSet, to int32) {
	if setSizeAnnotations(rs, s.limits) {
		s.touched[rs] = true
	}
	s.setSize(rs, to)
}

func (s *step) setSize(rs *appsv1.ReplicaSet, to int32) {
	from := size(rs)
	if from == to {
		return
	}
	rs.Spec.Replicas = &to
	s.touched[rs] = true
	s.scalingEvent(rs.Name, from, to)
}

func (s *step) scalingEvent(name string, from, to int32) {
	direction := "up"
	if to < from {
		direction = "down"
	}
	s.plan.Events = append(s.plan.Events, Event{
		Type: corev1.EventTypeNormal, Reason: ReasonScaling,
		Message: fmt.Sprintf("Scaled %s replica set %s from %d to %d", direction, name, from, to),
	})
}

// resizeAll sets sizes as far as there is room. If a ReplicaSet gets less than planned,
// resizeAll does not record the Deployment's size on it: the Deployment then still
// counts as scaled, and the rest follows when others have shrunk.
func (s *step) resizeAll(resizes []resize) {
	room := s.room()
	for _, r := range resizes {
		present := s.occupies(r.rs)
		free := present
		if s.mayGrow(r.rs) {
			free += room
		}
		to := min(r.size, free)
		if to < r.size {
			s.setSize(r.rs, to)
			s.requeue(podsWait)
		} else {
			s.resize(r.rs, to)
		}
		room -= max(0, to-present)
	}
}

// mayGrow reports whether new Pods of a ReplicaSet may run beside the existing ones.
// With the strategy Recreate, Pods of only one ReplicaSet may run at a time.
func (s *step) mayGrow(rs *appsv1.ReplicaSet) bool {
	if s.limits.rolling {
		return true
	}
	others := slices.DeleteFunc(withNew(s.newRS, s.old), func(other *appsv1.ReplicaSet) bool { return other == rs })
	return !oldPodsRunning(others, s.pods)
}
