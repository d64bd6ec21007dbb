package workloads

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateReplicaSet returns the errors of a defaulted ReplicaSet.
func ValidateReplicaSet(rs *appsv1.ReplicaSet) field.ErrorList {
	spec := field.NewPath("spec")
	errs := notNegative(spec.Child("replicas"), rs.Spec.Replicas)
	errs = append(errs, notNegative(spec.Child("minReadySeconds"), &rs.Spec.MinReadySeconds)...)
	return append(errs, validateTemplate(spec, rs.Spec.Selector, &rs.Spec.Template)...)
}

// ValidateReplicaSetUpdate returns the errors of an update from old to updated, which must be defaulted.
func ValidateReplicaSetUpdate(updated, old *appsv1.ReplicaSet) field.ErrorList {
	return append(ValidateReplicaSet(updated), sameSelector(updated.Spec.Selector, old.Spec.Selector)...)
}
