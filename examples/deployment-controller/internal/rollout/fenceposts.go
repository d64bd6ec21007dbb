package rollout

import (
	"fmt"
	"math"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Fenceposts returns by how many Pods a rolling update may exceed the Deployment's
// replicas, and how many may be unavailable. Both are 0 for another strategy.
//
// It returns an error if one of them is negative, or neither a number nor a percentage.
func Fenceposts(d *appsv1.Deployment) (surge, unavailable int32, err error) {
	l, err := limitsOf(d)
	return l.surge, l.unavailable, err
}

// limits are the bounds of a Deployment's rollout.
type limits struct {
	rolling     bool
	replicas    int32
	surge       int32
	unavailable int32 // at most replicas
}

func limitsOf(d *appsv1.Deployment) (limits, error) {
	l := limits{replicas: replicasOf(d)}
	if d.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType {
		return l, nil
	}
	l.rolling = true
	var maxSurge, maxUnavailable *intstr.IntOrString
	if rolling := d.Spec.Strategy.RollingUpdate; rolling != nil {
		maxSurge, maxUnavailable = rolling.MaxSurge, rolling.MaxUnavailable
	}
	var err error
	l.surge, l.unavailable, err = resolveFenceposts(maxSurge, maxUnavailable, l.replicas)
	l.unavailable = min(l.unavailable, l.replicas)
	return l, err
}

// resolveFenceposts rounds surge up and unavailable down. If both are 0, it sets
// unavailable to 1, because the rollout could not move otherwise.
func resolveFenceposts(maxSurge, maxUnavailable *intstr.IntOrString, desired int32) (surge, unavailable int32, err error) {
	if surge, err = scaled(maxSurge, desired, true); err != nil {
		return 0, 0, fmt.Errorf("maxSurge: %w", err)
	}
	if unavailable, err = scaled(maxUnavailable, desired, false); err != nil {
		return 0, 0, fmt.Errorf("maxUnavailable: %w", err)
	}
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, unavailable, nil
}

func scaled(value *intstr.IntOrString, total int32, roundUp bool) (int32, error) {
	if value == nil {
		return 0, nil
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(value, int(total), roundUp)
	if err != nil {
		return 0, err
	}
	if n < 0 {
		return 0, fmt.Errorf("%s is negative", value)
	}
	return int32(min(n, math.MaxInt32)), nil
}

// most returns the greatest number of Pods at any time.
func (l limits) most() int32 {
	return int32(min(int64(l.replicas)+int64(l.surge), math.MaxInt32))
}

// least returns the number of Pods that a rolling update keeps available. It is 0 for
// another strategy.
func (l limits) least() int32 {
	if !l.rolling {
		return 0
	}
	return l.replicas - l.unavailable
}

// replicasOf returns spec.replicas, or its default 1.
func replicasOf(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}
