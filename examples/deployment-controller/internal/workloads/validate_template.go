package workloads

import (
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateTemplate checks a selector and the Pod template, which the selector must match.
func validateTemplate(spec *field.Path, selector *metav1.LabelSelector, template *corev1.PodTemplateSpec) field.ErrorList {
	errs := validateSelector(spec.Child("selector"), selector)
	path := spec.Child("template")
	if len(errs) == 0 && !selects(selector, template.Labels) {
		errs = append(errs, field.Invalid(path.Child("metadata", "labels"), template.Labels, "the selector does not match these labels"))
	}
	// The API server names these without "metadata".
	errs = append(errs, metavalidation.ValidateLabels(template.Labels, path.Child("labels"))...)
	errs = append(errs, apivalidation.ValidateAnnotations(template.Annotations, path.Child("annotations"))...)
	errs = append(errs, validateDeletionCost(path.Child("annotations"), template.Annotations)...)

	pod := path.Child("spec")
	errs = append(errs, validatePodSpec(pod, &template.Spec, false)...)
	switch template.Spec.RestartPolicy {
	case corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever:
		errs = append(errs, field.NotSupported(pod.Child("restartPolicy"), template.Spec.RestartPolicy, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if template.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(pod.Child("activeDeadlineSeconds"), "Pods of a ReplicaSet have no deadline"))
	}
	return errs
}

func selects(selector *metav1.LabelSelector, of map[string]string) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(labels.Set(of))
}

func validateSelector(path *field.Path, selector *metav1.LabelSelector) field.ErrorList {
	switch {
	case selector == nil:
		return field.ErrorList{field.Required(path, "")}
	case len(selector.MatchLabels)+len(selector.MatchExpressions) == 0:
		return field.ErrorList{field.Invalid(path, selector, "an empty selector would select every Pod")}
	}
	return metavalidation.ValidateLabelSelector(selector, metavalidation.LabelSelectorValidationOptions{}, path)
}

// sameSelector rejects a changed selector, which would abandon the objects that the old one selected.
func sameSelector(updated, old *metav1.LabelSelector) field.ErrorList {
	return apivalidation.ValidateImmutableField(updated, old, field.NewPath("spec", "selector"))
}
