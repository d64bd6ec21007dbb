package workloads

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateContainers checks a Pod's containers and init containers, which share one space of names.
func validateContainers(path *field.Path, spec *corev1.PodSpec) field.ErrorList {
	names, volumes := map[string]bool{}, map[string]bool{}
	for i := range spec.Volumes {
		volumes[spec.Volumes[i].Name] = true
	}
	list := path.Child("containers")
	var errs field.ErrorList
	if len(spec.Containers) == 0 {
		errs = append(errs, field.Required(list, ""))
	}
	for i := range spec.Containers {
		at, c := list.Index(i), &spec.Containers[i]
		errs = append(errs, validateContainer(at, c, volumes)...)
		errs = append(errs, unique(at.Child("name"), names, c.Name)...)
		errs = append(errs, validateRunning(at, c, spec.TerminationGracePeriodSeconds)...)
	}
	errs = append(errs, validateHostPorts(list, spec.Containers)...)
	list = path.Child("initContainers")
	for i := range spec.InitContainers {
		at, c := list.Index(i), &spec.InitContainers[i]
		errs = append(errs, validateContainer(at, c, volumes)...)
		errs = append(errs, unique(at.Child("name"), names, c.Name)...)
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways { // a sidecar
			errs = append(errs, validateRunning(at, c, spec.TerminationGracePeriodSeconds)...)
		} else {
			errs = append(errs, validateInit(at, c)...)
		}
		// Init containers run one after the other, so that they may use the same host ports.
		errs = append(errs, validateHostPorts(list, spec.InitContainers[i:i+1])...)
	}
	return errs
}

// validateContainer checks what containers of all kinds have in common.
func validateContainer(path *field.Path, c *corev1.Container, volumes map[string]bool) field.ErrorList {
	errs := label(path.Child("name"), c.Name)
	if c.Image == "" {
		errs = append(errs, field.Required(path.Child("image"), ""))
	}
	errs = append(errs, oneOf(path.Child("imagePullPolicy"), c.ImagePullPolicy,
		corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)...)
	errs = append(errs, oneOf(path.Child("terminationMessagePolicy"), c.TerminationMessagePolicy,
		corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)...)
	if c.RestartPolicy != nil {
		errs = append(errs, oneOf(path.Child("restartPolicy"), *c.RestartPolicy, corev1.ContainerRestartPolicyAlways,
			corev1.ContainerRestartPolicyOnFailure, corev1.ContainerRestartPolicyNever)...)
	}
	errs = append(errs, validatePorts(path.Child("ports"), c.Ports)...)
	errs = append(errs, validateEnv(path.Child("env"), c.Env)...)
	errs = append(errs, validateEnvFrom(path.Child("envFrom"), c.EnvFrom)...)
	errs = append(errs, validateMounts(path.Child("volumeMounts"), c, volumes)...)
	return append(errs, validateResources(path.Child("resources"), &c.Resources)...)
}

// validateRunning checks what a container has that runs as long as its Pod: probes and hooks.
func validateRunning(path *field.Path, c *corev1.Container, grace *int64) field.ErrorList {
	errs := validateProbe(path.Child("livenessProbe"), c.LivenessProbe)
	errs = append(errs, oneSuccess(path.Child("livenessProbe"), c.LivenessProbe)...)
	errs = append(errs, validateProbe(path.Child("readinessProbe"), c.ReadinessProbe)...)
	if p := c.ReadinessProbe; p != nil && p.TerminationGracePeriodSeconds != nil {
		errs = append(errs, field.Invalid(path.Child("readinessProbe", "terminationGracePeriodSeconds"), *p.TerminationGracePeriodSeconds,
			"is not for a readiness probe, which ends no container"))
	}
	errs = append(errs, validateProbe(path.Child("startupProbe"), c.StartupProbe)...)
	errs = append(errs, oneSuccess(path.Child("startupProbe"), c.StartupProbe)...)
	if c.Lifecycle != nil {
		errs = append(errs, validateHook(path.Child("lifecycle", "postStart"), c.Lifecycle.PostStart, grace)...)
		errs = append(errs, validateHook(path.Child("lifecycle", "preStop"), c.Lifecycle.PreStop, grace)...)
	}
	return errs
}

// validateInit rejects what an init container that runs to its end cannot have.
func validateInit(path *field.Path, c *corev1.Container) field.ErrorList {
	var errs field.ErrorList
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"lifecycle", c.Lifecycle != nil},
		{"livenessProbe", c.LivenessProbe != nil},
		{"readinessProbe", c.ReadinessProbe != nil},
		{"startupProbe", c.StartupProbe != nil},
	} {
		if f.set {
			errs = append(errs, field.Forbidden(path.Child(f.name), "an init container has none unless its restartPolicy is Always"))
		}
	}
	return errs
}
