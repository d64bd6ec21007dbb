package workloads

import (
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidatePod returns the errors of a defaulted Pod.
func ValidatePod(p *corev1.Pod) field.ErrorList {
	return append(validateMeta(&p.ObjectMeta), validatePodSpec(field.NewPath("spec"), &p.Spec)...)
}

func validatePodSpec(path *field.Path, spec *corev1.PodSpec) field.ErrorList {
	errs := validateVolumes(path.Child("volumes"), spec.Volumes)
	errs = append(errs, validateContainers(path, spec)...)
	errs = append(errs, oneOf(path.Child("restartPolicy"), spec.RestartPolicy,
		corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)...)
	errs = append(errs, oneOf(path.Child("dnsPolicy"), spec.DNSPolicy,
		corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone)...)
	errs = append(errs, notNegative(path.Child("terminationGracePeriodSeconds"), spec.TerminationGracePeriodSeconds)...)
	if deadline := spec.ActiveDeadlineSeconds; deadline != nil && *deadline < 1 {
		errs = append(errs, field.Invalid(path.Child("activeDeadlineSeconds"), *deadline, "must be at least 1"))
	}
	errs = append(errs, metavalidation.ValidateLabels(spec.NodeSelector, path.Child("nodeSelector"))...)
	errs = append(errs, validatePodNames(path, spec)...)
	if len(spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(path.Child("ephemeralContainers"), "are added to running Pods only"))
	}
	return errs
}

// validatePodNames checks the names of other objects in a Pod's spec. All may be empty.
func validatePodNames(path *field.Path, spec *corev1.PodSpec) field.ErrorList {
	subdomain := func(name string) []string { return apivalidation.NameIsDNSSubdomain(name, false) }
	var errs field.ErrorList
	for _, check := range []struct {
		field, name string
		valid       func(string) []string
	}{
		{"nodeName", spec.NodeName, subdomain},
		{"serviceAccountName", spec.ServiceAccountName, subdomain},
		{"hostname", spec.Hostname, validation.IsDNS1123Label},
		{"subdomain", spec.Subdomain, validation.IsDNS1123Label},
	} {
		if check.name == "" {
			continue
		}
		for _, message := range check.valid(check.name) {
			errs = append(errs, field.Invalid(path.Child(check.field), check.name, message))
		}
	}
	return errs
}

func validateVolumes(path *field.Path, volumes []corev1.Volume) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i := range volumes {
		at := path.Index(i)
		errs = append(errs, label(at.Child("name"), volumes[i].Name)...)
		errs = append(errs, unique(at.Child("name"), seen, volumes[i].Name)...)
		switch sources := given(volumes[i].VolumeSource); {
		case sources == 0:
			errs = append(errs, field.Required(at, "a volume has a source"))
		case sources > 1:
			errs = append(errs, field.Forbidden(at, "a volume has one source only"))
		}
	}
	return errs
}
