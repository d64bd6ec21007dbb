package workloads

import (
	"reflect"
	"slices"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
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
	return validateText(path, name, validation.IsDNS1123Label)
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

// required rejects an empty text.
func required(path *field.Path, text string) field.ErrorList {
	if text == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return nil
}

// validateText applies a rule of apimachinery to a text.
func validateText(path *field.Path, text string, rule func(string) []string) field.ErrorList {
	var errs field.ErrorList
	for _, message := range rule(text) {
		errs = append(errs, field.Invalid(path, text, message))
	}
	return errs
}
