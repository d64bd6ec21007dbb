package workloads

import (
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateDeployment returns the errors of a defaulted Deployment.
func ValidateDeployment(d *appsv1.Deployment) field.ErrorList {
	spec := field.NewPath("spec")
	errs := notNegative(spec.Child("replicas"), d.Spec.Replicas)
	errs = append(errs, notNegative(spec.Child("minReadySeconds"), &d.Spec.MinReadySeconds)...)
	errs = append(errs, notNegative(spec.Child("revisionHistoryLimit"), d.Spec.RevisionHistoryLimit)...)
	errs = append(errs, validateDeadline(spec.Child("progressDeadlineSeconds"), &d.Spec)...)
	errs = append(errs, validateStrategy(spec.Child("strategy"), &d.Spec.Strategy)...)
	return append(errs, validateTemplate(spec, d.Spec.Selector, &d.Spec.Template)...)
}

// ValidateDeploymentUpdate returns the errors of an update from old to updated, which must be defaulted.
func ValidateDeploymentUpdate(updated, old *appsv1.Deployment) field.ErrorList {
	return append(ValidateDeployment(updated), sameSelector(updated.Spec.Selector, old.Spec.Selector)...)
}

func validateDeadline(path *field.Path, spec *appsv1.DeploymentSpec) field.ErrorList {
	deadline := spec.ProgressDeadlineSeconds
	errs := notNegative(path, deadline)
	if deadline != nil && *deadline <= spec.MinReadySeconds {
		errs = append(errs, field.Invalid(path, *deadline, "must be greater than minReadySeconds"))
	}
	return errs
}

func validateStrategy(path *field.Path, s *appsv1.DeploymentStrategy) field.ErrorList {
	rolling := path.Child("rollingUpdate")
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Forbidden(rolling, "may not be given with strategy type Recreate")}
		}
		return nil
	case appsv1.RollingUpdateDeploymentStrategyType:
		if s.RollingUpdate == nil {
			return field.ErrorList{field.Required(rolling, "")}
		}
		return validateRollingUpdate(rolling, s.RollingUpdate)
	}
	return field.ErrorList{field.NotSupported(path, s.Type, []appsv1.DeploymentStrategyType{
		appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType,
	})}
}

func validateRollingUpdate(path *field.Path, r *appsv1.RollingUpdateDeployment) field.ErrorList {
	unavailable, surge := path.Child("maxUnavailable"), path.Child("maxSurge")
	errs := append(validateAmount(unavailable, r.MaxUnavailable), validateAmount(surge, r.MaxSurge)...)
	if len(errs) > 0 {
		return errs
	}
	if amount(r.MaxUnavailable) == 0 && amount(r.MaxSurge) == 0 {
		errs = append(errs, field.Invalid(unavailable, r.MaxUnavailable, "may not be 0 when maxSurge is 0: no Pod could ever be replaced"))
	}
	if r.MaxUnavailable != nil && r.MaxUnavailable.Type == intstr.String && amount(r.MaxUnavailable) > 100 {
		errs = append(errs, field.Invalid(unavailable, r.MaxUnavailable, "must not be greater than 100%"))
	}
	return errs
}

// validateAmount requires a percentage, or a number that is not negative.
func validateAmount(path *field.Path, v *intstr.IntOrString) field.ErrorList {
	if v == nil {
		return nil
	}
	if v.Type == intstr.Int {
		return notNegative(path, &v.IntVal)
	}
	if len(validation.IsValidPercent(v.StrVal)) > 0 || amount(v) < 0 {
		return field.ErrorList{field.Invalid(path, v, "must be an integer or a percentage such as 25%")}
	}
	return nil
}

// amount returns the number in a number or percentage, or -1 if it is malformed.
func amount(v *intstr.IntOrString) int32 {
	switch {
	case v == nil:
		return 0
	case v.Type == intstr.Int:
		return v.IntVal
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(v.StrVal, "%"), 10, 32)
	if err != nil {
		return -1
	}
	return int32(n)
}
