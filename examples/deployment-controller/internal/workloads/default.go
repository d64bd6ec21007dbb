package workloads

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// DefaultDeployment fills in what a Deployment leaves open, its Pod template included.
func DefaultDeployment(d *appsv1.Deployment) {
	setPointer(&d.Spec.Replicas, 1)
	setPointer(&d.Spec.RevisionHistoryLimit, 10)
	setPointer(&d.Spec.ProgressDeadlineSeconds, 600)
	defaultStrategy(&d.Spec.Strategy)
	defaultPodSpec(&d.Spec.Template.Spec)
}

func defaultStrategy(s *appsv1.DeploymentStrategy) {
	set(&s.Type, appsv1.RollingUpdateDeploymentStrategyType)
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		s.RollingUpdate = nil
	case appsv1.RollingUpdateDeploymentStrategyType:
		setPointer(&s.RollingUpdate, appsv1.RollingUpdateDeployment{})
		setPointer(&s.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		setPointer(&s.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
}

// DefaultReplicaSet fills in what a ReplicaSet leaves open, its Pod template included.
func DefaultReplicaSet(rs *appsv1.ReplicaSet) {
	setPointer(&rs.Spec.Replicas, 1)
	defaultPodSpec(&rs.Spec.Template.Spec)
}

// DefaultPod fills in what a Pod leaves open.
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

// requestLimits requests what is limited and not requested.
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

// defaultHostPorts gives containers on the host's network the ports that they have there anyway.
func defaultHostPorts(ports []corev1.ContainerPort) {
	for i := range ports {
		set(&ports[i].HostPort, ports[i].ContainerPort)
	}
}

// set gives a field its default if it is empty.
func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// setPointer gives a field its default if it is nil. Each object gets a value of its own.
func setPointer[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
