package workloads

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// DefaultDeployment sets the defaults of a Deployment, including its Pod template.
func DefaultDeployment(d *appsv1.Deployment) {
	setPointer(&d.Spec.Replicas, 1)
	setPointer(&d.Spec.RevisionHistoryLimit, 10)
	setPointer(&d.Spec.ProgressDeadlineSeconds, 600)
	defaultStrategy(&d.Spec.Strategy)
	defaultPodSpec(&d.Spec.Template.Spec)
}

func defaultStrategy(s *appsv1.DeploymentStrategy) {
	set(&s.Type, appsv1.RollingUpdateDeploymentStrategyType)
	if s.Type != appsv1.RollingUpdateDeploymentStrategyType {
		return
	}
	setPointer(&s.RollingUpdate, appsv1.RollingUpdateDeployment{})
	setPointer(&s.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
	setPointer(&s.RollingUpdate.MaxSurge, intstr.FromString("25%"))
}

// DefaultReplicaSet sets the defaults of a ReplicaSet, including its Pod template.
func DefaultReplicaSet(rs *appsv1.ReplicaSet) {
	setPointer(&rs.Spec.Replicas, 1)
	defaultPodSpec(&rs.Spec.Template.Spec)
}

// DefaultPod sets the defaults of a Pod.
func DefaultPod(p *corev1.Pod) {
	defaultPodSpec(&p.Spec)
	setPointer(&p.Spec.EnableServiceLinks, corev1.DefaultEnableServiceLinks)
	for _, containers := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range containers {
			requestLimits(&containers[i].Resources)
			if p.Spec.HostNetwork {
				defaultHostPorts(containers[i].Ports)
			}
		}
	}
}

// requestLimits sets missing requests to the limits.
func requestLimits(r *corev1.ResourceRequirements) {
	for name, limit := range r.Limits {
		if _, ok := r.Requests[name]; ok {
			continue
		}
		if r.Requests == nil {
			r.Requests = corev1.ResourceList{}
		}
		r.Requests[name] = limit.DeepCopy()
	}
}

// defaultHostPorts sets the host ports of containers on the host's network to their container ports.
func defaultHostPorts(ports []corev1.ContainerPort) {
	for i := range ports {
		set(&ports[i].HostPort, ports[i].ContainerPort)
	}
}

// set sets an empty field to its default.
func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// setPointer sets a nil field to its default. Each object gets its own value.
func setPointer[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
