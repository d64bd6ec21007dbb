package rollout

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/replicas"
)

// oldPodsRunning tells whether a Pod of an old ReplicaSet may still run. One
// that is terminating may; so may one whose node does not answer.
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
