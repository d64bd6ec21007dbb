package workloads

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validatePorts(path *field.Path, ports []corev1.ContainerPort) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i, port := range ports {
		at := path.Index(i)
		if port.Name != "" {
			errs = append(errs, validateText(at.Child("name"), port.Name, validation.IsValidPortName)...)
		}
		errs = append(errs, unique(at.Child("name"), names, port.Name)...)
		if port.ContainerPort == 0 {
			errs = append(errs, field.Required(at.Child("containerPort"), ""))
		} else {
			errs = append(errs, validatePort(at.Child("containerPort"), port.ContainerPort)...)
		}
		if port.HostPort != 0 {
			errs = append(errs, validatePort(at.Child("hostPort"), port.HostPort)...)
		}
		errs = append(errs, oneOf(at.Child("protocol"), port.Protocol, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)...)
	}
	return errs
}

func validatePort(path *field.Path, port int32) field.ErrorList {
	var errs field.ErrorList
	for _, message := range validation.IsValidPortNum(int(port)) {
		errs = append(errs, field.Invalid(path, port, message))
	}
	return errs
}

// validateTarget checks the number or the name of a port that a probe or a hook connects to.
func validateTarget(path *field.Path, port intstr.IntOrString) field.ErrorList {
	if port.Type == intstr.Int {
		return validatePort(path, port.IntVal)
	}
	return validateText(path, port.StrVal, validation.IsValidPortName)
}

// validateHostPorts rejects a host port that occurs twice: only one container could have it.
func validateHostPorts(path *field.Path, containers []corev1.Container) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i := range containers {
		for j, port := range containers[i].Ports {
			if port.HostPort != 0 {
				key := fmt.Sprintf("%s/%s/%d", port.Protocol, port.HostIP, port.HostPort)
				errs = append(errs, unique(path.Index(i).Child("ports").Index(j).Child("hostPort"), seen, key)...)
			}
		}
	}
	return errs
}

// validateHostNetwork requires host ports that are the container ports: on the host's network they are the same. In a
// template they may be left to the Pod's defaults.
func validateHostNetwork(path *field.Path, spec *corev1.PodSpec, isPod bool) field.ErrorList {
	if !spec.HostNetwork {
		return nil
	}
	var errs field.ErrorList
	for i := range spec.Containers {
		for j, port := range spec.Containers[i].Ports {
			if port.HostPort != port.ContainerPort && (isPod || port.HostPort != 0) {
				errs = append(errs, field.Invalid(path.Index(i).Child("ports").Index(j).Child("hostPort"), port.HostPort,
					"must be the containerPort when hostNetwork is true"))
			}
		}
	}
	return errs
}
