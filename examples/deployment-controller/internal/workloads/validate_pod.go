package workloads

import (
	"math"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidatePod returns the errors of a defaulted Pod.
func ValidatePod(p *corev1.Pod) field.ErrorList {
	errs := validateDeletionCost(field.NewPath("metadata", "annotations"), p.Annotations)
	return append(errs, validatePodSpec(field.NewPath("spec"), &p.Spec, true)...)
}

// validateDeletionCost checks the annotation by which a ReplicaSet chooses the Pods to delete.
func validateDeletionCost(path *field.Path, annotations map[string]string) field.ErrorList {
	text, ok := annotations[corev1.PodDeletionCost]
	if _, valid := DeletionCost(text); ok && !valid {
		return field.ErrorList{field.Invalid(path.Key(corev1.PodDeletionCost), text, "must be a 32-bit integer")}
	}
	return nil
}

// DeletionCost reads the value of the annotation [corev1.PodDeletionCost]. It returns 0 and false for a text that is no
// 32-bit integer, or has a plus sign or a leading zero. Zeros after a minus sign are allowed, as in an API server.
func DeletionCost(text string) (cost int32, valid bool) {
	if text == "" || text[0] == '+' || text[0] == '0' && text != "0" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, false
	}
	return int32(n), true
}

// validatePodSpec checks the spec of a Pod or of a template.
func validatePodSpec(path *field.Path, spec *corev1.PodSpec, isPod bool) field.ErrorList {
	errs := validateVolumes(path.Child("volumes"), spec.Volumes)
	errs = append(errs, validateContainers(path, spec)...)
	errs = append(errs, validateHostNetwork(path.Child("containers"), spec, isPod)...)
	errs = append(errs, oneOf(path.Child("restartPolicy"), spec.RestartPolicy,
		corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)...)
	errs = append(errs, oneOf(path.Child("dnsPolicy"), spec.DNSPolicy,
		corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone)...)
	if deadline := spec.ActiveDeadlineSeconds; deadline != nil && (*deadline < 1 || *deadline > math.MaxInt32) {
		errs = append(errs, field.Invalid(path.Child("activeDeadlineSeconds"), *deadline, validation.InclusiveRangeError(1, math.MaxInt32)))
	}
	errs = append(errs, validateTolerations(path.Child("tolerations"), spec.Tolerations)...)
	errs = append(errs, validateDNS(path.Child("dnsConfig"), spec)...)
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
	for i, secret := range spec.ImagePullSecrets {
		errs = append(errs, required(path.Child("imagePullSecrets").Index(i).Child("name"), secret.Name)...)
	}
	for _, check := range []struct {
		field, name string
		valid       func(string) []string
	}{
		{"nodeName", spec.NodeName, subdomain},
		{"serviceAccountName", spec.ServiceAccountName, subdomain},
		{"hostname", spec.Hostname, validation.IsDNS1123Label},
		{"subdomain", spec.Subdomain, validation.IsDNS1123Label},
		{"priorityClassName", spec.PriorityClassName, subdomain},
	} {
		if check.name == "" {
			continue
		}
		errs = append(errs, validateText(path.Child(check.field), check.name, check.valid)...)
	}
	return errs
}

// validateDNS requires a server for a Pod that does not use the cluster's.
func validateDNS(path *field.Path, spec *corev1.PodSpec) field.ErrorList {
	switch {
	case spec.DNSPolicy != corev1.DNSNone:
		return nil
	case spec.DNSConfig == nil:
		return field.ErrorList{field.Required(path, "dnsPolicy None needs servers")}
	case len(spec.DNSConfig.Nameservers) == 0:
		return field.ErrorList{field.Required(path.Child("nameservers"), "dnsPolicy None needs servers")}
	}
	return nil
}

func validateTolerations(list *field.Path, tolerations []corev1.Toleration) field.ErrorList {
	var errs field.ErrorList
	for i, t := range tolerations {
		at := list.Index(i)
		if t.Key != "" {
			errs = append(errs, metavalidation.ValidateLabelName(t.Key, at.Child("key"))...)
		} else if t.Operator != corev1.TolerationOpExists {
			errs = append(errs, field.Invalid(at.Child("operator"), t.Operator, "must be Exists without a key"))
		}
		if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
			errs = append(errs, field.Invalid(at.Child("effect"), t.Effect, "must be NoExecute with tolerationSeconds"))
		}
		switch t.Operator {
		case corev1.TolerationOpEqual, "":
			errs = append(errs, validateText(at.Child("operator"), t.Value, validation.IsValidLabelValue)...)
		case corev1.TolerationOpExists:
			if t.Value != "" {
				errs = append(errs, field.Invalid(at.Child("operator"), t.Operator, "Exists takes no value"))
			}
		case corev1.TolerationOpLt, corev1.TolerationOpGt:
		default:
			errs = append(errs, field.NotSupported(at.Child("operator"), t.Operator,
				[]corev1.TolerationOperator{corev1.TolerationOpEqual, corev1.TolerationOpExists}))
		}
		if t.Effect != "" {
			errs = append(errs, oneOf(at.Child("effect"), t.Effect,
				corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)...)
		}
	}
	return errs
}
