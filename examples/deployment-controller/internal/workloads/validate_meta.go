package workloads

import (
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateMeta checks what the names and labels of workloads have to be like. A name that is still to be generated is
// not missed.
func validateMeta(meta *metav1.ObjectMeta) field.ErrorList {
	path := field.NewPath("metadata")
	var errs field.ErrorList
	if meta.Name == "" && meta.GenerateName == "" {
		errs = append(errs, field.Required(path.Child("name"), "name or generateName is required"))
	}
	if meta.Name != "" {
		for _, message := range apivalidation.NameIsDNSSubdomain(meta.Name, false) {
			errs = append(errs, field.Invalid(path.Child("name"), meta.Name, message))
		}
	}
	if meta.GenerateName != "" {
		for _, message := range apivalidation.NameIsDNSSubdomain(meta.GenerateName, true) {
			errs = append(errs, field.Invalid(path.Child("generateName"), meta.GenerateName, message))
		}
	}
	return append(errs, validateLabels(path, meta)...)
}

func validateLabels(path *field.Path, meta *metav1.ObjectMeta) field.ErrorList {
	errs := metavalidation.ValidateLabels(meta.Labels, path.Child("labels"))
	return append(errs, apivalidation.ValidateAnnotations(meta.Annotations, path.Child("annotations"))...)
}
