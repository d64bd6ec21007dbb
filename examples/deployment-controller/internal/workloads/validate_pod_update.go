package workloads

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidatePodUpdate returns the errors of an update from old to updated, which must be defaulted. An update of a Pod's
// spec may change the images of containers, set or lower activeDeadlineSeconds, add tolerations, set a negative
// terminationGracePeriodSeconds to 1, which it means, and set nodeName once, since there is no binding subresource.
func ValidatePodUpdate(updated, old *corev1.Pod) field.ErrorList {
	errs := ValidatePod(updated)
	spec := field.NewPath("spec")
	before, after := old.Spec.ActiveDeadlineSeconds, updated.Spec.ActiveDeadlineSeconds
	if before != nil && (after == nil || *after > *before) {
		errs = append(errs, field.Invalid(spec.Child("activeDeadlineSeconds"), after, "may be lowered only"))
	}
	for _, t := range old.Spec.Tolerations {
		if !slices.ContainsFunc(updated.Spec.Tolerations, func(u corev1.Toleration) bool { return equality.Semantic.DeepEqual(t, u) }) {
			errs = append(errs, field.Forbidden(spec.Child("tolerations"), "may be added only"))
			break
		}
	}
	if names := changedFields(withMutable(&updated.Spec, &old.Spec), &old.Spec); len(names) > 0 {
		errs = append(errs, field.Forbidden(spec, fmt.Sprintf("a Pod keeps its %s", strings.Join(names, ", "))))
	}
	return errs
}

// withMutable returns a copy of updated with the mutable fields of old.
func withMutable(updated, old *corev1.PodSpec) *corev1.PodSpec {
	spec := updated.DeepCopy()
	spec.ActiveDeadlineSeconds = old.ActiveDeadlineSeconds
	spec.Tolerations = old.Tolerations
	if grace := old.TerminationGracePeriodSeconds; grace != nil && *grace < 0 && spec.TerminationGracePeriodSeconds != nil && *spec.TerminationGracePeriodSeconds == 1 {
		spec.TerminationGracePeriodSeconds = grace // a negative one means 1
	}
	if old.NodeName == "" {
		spec.NodeName = ""
	}
	keepImages(spec.Containers, old.Containers)
	keepImages(spec.InitContainers, old.InitContainers)
	return spec
}

func keepImages(updated, old []corev1.Container) {
	for i := range min(len(updated), len(old)) {
		updated[i].Image = old[i].Image
	}
}

// changedFields returns the names of the fields in which two specs differ.
func changedFields(a, b *corev1.PodSpec) []string {
	var names []string
	t := reflect.TypeFor[corev1.PodSpec]()
	for i := range t.NumField() {
		if !equality.Semantic.DeepEqual(reflect.ValueOf(a).Elem().Field(i).Interface(), reflect.ValueOf(b).Elem().Field(i).Interface()) {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}
