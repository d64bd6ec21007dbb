package workloads

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateContainers checks a Pod's containers and init containers, which share one space of names and of host ports.
func validateContainers(path *field.Path, spec *corev1.PodSpec) field.ErrorList {
	names, volumes := map[string]bool{}, map[string]bool{}
	for i := range spec.Volumes {
		volumes[spec.Volumes[i].Name] = true
	}
	var errs field.ErrorList
	if len(spec.Containers) == 0 {
		errs = append(errs, field.Required(path.Child("containers"), "a Pod has at least one"))
	}
	for _, list := range []struct {
		path       *field.Path
		containers []corev1.Container
	}{
		{path.Child("containers"), spec.Containers},
		{path.Child("initContainers"), spec.InitContainers},
	} {
		for i := range list.containers {
			at := list.path.Index(i)
			errs = append(errs, unique(at.Child("name"), names, list.containers[i].Name)...)
			errs = append(errs, validateContainer(at, &list.containers[i], volumes)...)
		}
	}
	return append(errs, validateHostPorts(path.Child("containers"), spec.Containers)...)
}

func validateContainer(path *field.Path, c *corev1.Container, volumes map[string]bool) field.ErrorList {
	errs := label(path.Child("name"), c.Name)
	if c.Image == "" {
		errs = append(errs, field.Required(path.Child("image"), ""))
	}
	errs = append(errs, oneOf(path.Child("imagePullPolicy"), c.ImagePullPolicy,
		corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)...)
	errs = append(errs, oneOf(path.Child("terminationMessagePolicy"), c.TerminationMessagePolicy,
		corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)...)
	errs = append(errs, validatePorts(path.Child("ports"), c.Ports)...)
	errs = append(errs, validateEnv(path.Child("env"), c.Env)...)
	errs = append(errs, validateMounts(path.Child("volumeMounts"), c.VolumeMounts, volumes)...)
	errs = append(errs, validateResources(path.Child("resources"), &c.Resources)...)
	errs = append(errs, validateProbe(path.Child("livenessProbe"), c.LivenessProbe, true)...)
	errs = append(errs, validateProbe(path.Child("readinessProbe"), c.ReadinessProbe, false)...)
	return append(errs, validateProbe(path.Child("startupProbe"), c.StartupProbe, true)...)
}

func validatePorts(path *field.Path, ports []corev1.ContainerPort) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i, port := range ports {
		at := path.Index(i)
		if port.Name != "" {
			for _, message := range validation.IsValidPortName(port.Name) {
				errs = append(errs, field.Invalid(at.Child("name"), port.Name, message))
			}
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

func validateEnv(path *field.Path, env []corev1.EnvVar) field.ErrorList {
	var errs field.ErrorList
	for i := range env {
		at, name, from := path.Index(i), env[i].Name, env[i].ValueFrom
		if name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else {
			for _, message := range validation.IsRelaxedEnvVarName(name) {
				errs = append(errs, field.Invalid(at.Child("name"), name, message))
			}
		}
		switch {
		case from == nil:
		case env[i].Value != "":
			errs = append(errs, field.Invalid(at.Child("valueFrom"), "", "may not be given with a value"))
		case given(*from) != 1:
			errs = append(errs, field.Invalid(at.Child("valueFrom"), "", "must name one source"))
		}
	}
	return errs
}

func validateMounts(path *field.Path, mounts []corev1.VolumeMount, volumes map[string]bool) field.ErrorList {
	var errs field.ErrorList
	paths := map[string]bool{}
	for i := range mounts {
		at, m := path.Index(i), &mounts[i]
		if m.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else if !volumes[m.Name] {
			errs = append(errs, field.NotFound(at.Child("name"), m.Name))
		}
		if m.MountPath == "" {
			errs = append(errs, field.Required(at.Child("mountPath"), ""))
		}
		errs = append(errs, unique(at.Child("mountPath"), paths, m.MountPath)...)
	}
	return errs
}

func validateResources(path *field.Path, r *corev1.ResourceRequirements) field.ErrorList {
	var errs field.ErrorList
	for _, list := range []struct {
		path      *field.Path
		resources corev1.ResourceList
	}{{path.Child("limits"), r.Limits}, {path.Child("requests"), r.Requests}} {
		for _, name := range sorted(list.resources) {
			quantity := list.resources[name]
			if quantity.Sign() < 0 {
				errs = append(errs, field.Invalid(list.path.Key(string(name)), quantity.String(), "must not be negative"))
			}
		}
	}
	for _, name := range sorted(r.Requests) {
		request := r.Requests[name]
		if limit, ok := r.Limits[name]; ok && request.Cmp(limit) > 0 {
			errs = append(errs, field.Invalid(path.Child("requests"), request.String(), fmt.Sprintf("must not be more than the limit for %s, %s", name, limit.String())))
		}
	}
	return errs
}

func sorted(list corev1.ResourceList) []corev1.ResourceName {
	return slices.Sorted(maps.Keys(list))
}

// validateProbe checks a probe. A liveness or startup probe must not require several successes.
func validateProbe(path *field.Path, p *corev1.Probe, decidesLife bool) field.ErrorList {
	if p == nil {
		return nil
	}
	var errs field.ErrorList
	if n := given(p.ProbeHandler); n != 1 {
		errs = append(errs, field.Required(path, fmt.Sprintf("must have one way to probe, not %d", n)))
	}
	errs = append(errs, notNegative(path.Child("initialDelaySeconds"), &p.InitialDelaySeconds)...)
	errs = append(errs, notNegative(path.Child("timeoutSeconds"), &p.TimeoutSeconds)...)
	errs = append(errs, notNegative(path.Child("periodSeconds"), &p.PeriodSeconds)...)
	errs = append(errs, notNegative(path.Child("successThreshold"), &p.SuccessThreshold)...)
	errs = append(errs, notNegative(path.Child("failureThreshold"), &p.FailureThreshold)...)
	if decidesLife && p.SuccessThreshold != 1 {
		errs = append(errs, field.Invalid(path.Child("successThreshold"), p.SuccessThreshold, "must be 1"))
	}
	return errs
}
