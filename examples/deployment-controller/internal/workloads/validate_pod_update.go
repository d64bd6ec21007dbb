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

// ValidatePodUpdate returns what is wrong with replacing old by updated, which is to be defaulted. Of a Pod's spec may
// change: the images of its containers; activeDeadlineSeconds, which may be set and lowered; tolerations, which may be
// added; and nodeName, which may be set once, since there is no binding to do it.
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

// withMutable returns a copy of updated in which the fields that may change are as in old.
func withMutable(updated, old *corev1.PodSpec) *corev1.PodSpec {
	spec := updated.DeepCopy()
	spec.ActiveDeadlineSeconds = old.ActiveDeadlineSeconds
	spec.Tolerations = old.Tolerations
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
