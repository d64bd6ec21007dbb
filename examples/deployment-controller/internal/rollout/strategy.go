package rollout

import (
	"errors"
	"fmt"
	"math"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/replicas"
)

// roll takes the next step of the strategy.
func (s *step) roll() error {
	switch s.d.Spec.Strategy.Type {
	case appsv1.RecreateDeploymentStrategyType:
		return s.recreate()
	case appsv1.RollingUpdateDeploymentStrategyType:
		return s.rollingUpdate()
	}
	return fmt.Errorf("unknown strategy %q", s.d.Spec.Strategy.Type)
}

func (s *step) rollingUpdate() error {
	if s.newRS == nil {
		return s.create()
	}
	present, next := size(s.newRS), s.limits.replicas
	if present < next {
		next = s.grow(present)
	}
	if next != present {
		s.resize(s.newRS, next)
		return nil
	}
	for _, r := range scaleDownOld(s.limits, s.newRS, s.old) {
		s.resize(r.rs, r.size)
	}
	return nil
}

// grow returns the possible size of the new ReplicaSet. If Pods that are about to go
// limit it, grow schedules another sync.
func (s *step) grow(present int32) int32 {
	sets := withNew(s.newRS, s.old)
	next := nextSize(s.limits, sum(sets, s.occupies), present)
	if next < nextSize(s.limits, sum(sets, size), present) {
		s.requeue(podsWait)
	}
	return next
}

func (s *step) recreate() error {
	if running := active(s.old); len(running) > 0 {
		for _, rs := range running {
			s.resize(rs, 0)
		}
		return nil
	}
	if oldPodsRunning(s.old, s.pods) {
		return nil
	}
	if s.newRS == nil {
		return s.create()
	}
	if size(s.newRS) != s.limits.replicas {
		s.resize(s.newRS, s.limits.replicas)
	}
	return nil
}

// create plans the new ReplicaSet. If its name is taken, by another owner or for another
// template, create increments the collision count instead, and the next sync tries
// another name.
func (s *step) create() error {
	if !s.selector.Matches(labels.Set(s.d.Spec.Template.Labels)) {
		return errors.New("the selector does not match the template's labels")
	}
	hash := Hash(&s.d.Spec.Template, s.d.Status.CollisionCount)
	if s.nameTaken(Name(s.d.Name, hash)) {
		collisions := int32(1)
		if count := s.d.Status.CollisionCount; count != nil && *count >= 0 && *count < math.MaxInt32 {
			collisions += *count
		}
		s.d.Status.CollisionCount = &collisions
		return nil
	}
	replicas := s.grow(0)
	s.newRS = newReplicaSet(s.d, s.limits, hash, replicas, maxRevision(s.old)+1)
	s.plan.Create = s.newRS
	if replicas > 0 {
		s.scalingEvent(s.newRS.Name, 0, replicas)
	}
	s.showRevision()
	if hasDeadline(s.d) {
		setCondition(&s.d.Status, newCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue,
			ReasonReplicaSetCreated, fmt.Sprintf("Created ReplicaSet %q.", s.newRS.Name), s.in.Now))
	}
	return nil
}

func (s *step) nameTaken(name string) bool {
	if s.in.NameTaken != nil {
		return s.in.NameTaken(name) != nil
	}
	return slices.ContainsFunc(s.in.ReplicaSets, func(rs *appsv1.ReplicaSet) bool { return rs.Name == name })
}

// oldPodsRunning reports whether a Pod of an old ReplicaSet may still run. That includes
// terminating Pods and Pods on a node that does not answer.
func oldPodsRunning(old []*appsv1.ReplicaSet, pods func(*appsv1.ReplicaSet) []*corev1.Pod) bool {
	if sum(old, statusReplicas) > 0 {
		return true
	}
	for _, rs := range old {
		for _, pod := range pods(rs) {
			if !replicas.Terminal(pod) {
				return true
			}
		}
	}
	return false
}
