package workloads

import (
	"reflect"
	"slices"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// given counts the fields that are set in a struct of alternatives.
func given(alternatives any) int {
	n := 0
	v := reflect.ValueOf(alternatives)
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			n++
		}
	}
	return n
}

// label requires a DNS label.
func label(path *field.Path, name string) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	var errs field.ErrorList
	for _, message := range validation.IsDNS1123Label(name) {
		errs = append(errs, field.Invalid(path, name, message))
	}
	return errs
}

// unique rejects a value that occurred before. It ignores empty values.
func unique[T comparable](path *field.Path, seen map[T]bool, value T) field.ErrorList {
	var zero T
	if value == zero {
		return nil
	}
	if seen[value] {
		return field.ErrorList{field.Duplicate(path, value)}
	}
	seen[value] = true
	return nil
}

// oneOf requires one of the allowed values.
func oneOf[T ~string](path *field.Path, value T, allowed ...T) field.ErrorList {
	switch {
	case value == "":
		return field.ErrorList{field.Required(path, "")}
	case !slices.Contains(allowed, value):
		return field.ErrorList{field.NotSupported(path, value, allowed)}
	}
	return nil
}

func notNegative[T int32 | int64](path *field.Path, value *T) field.ErrorList {
	if value == nil {
		return nil
	}
	return apivalidation.ValidateNonnegativeField(int64(*value), path)
}

// validateMeta checks names, labels and annotations of workloads. A name may be empty if it is still to be generated.
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
