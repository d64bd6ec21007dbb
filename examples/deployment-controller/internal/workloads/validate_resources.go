package workloads

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateResources(path *field.Path, r *corev1.ResourceRequirements) field.ErrorList {
	limits, requests := path.Child("limits"), path.Child("requests")
	var errs field.ErrorList
	for _, name := range sorted(r.Limits) {
		errs = append(errs, validateResource(limits.Key(string(name)), name, r.Limits[name])...)
	}
	for _, name := range sorted(r.Requests) {
		request := r.Requests[name]
		errs = append(errs, validateResource(requests.Key(string(name)), name, request)...)
		limit, limited := r.Limits[name]
		switch {
		case limited && request.Cmp(limit) > 0:
			errs = append(errs, field.Invalid(requests, request.String(), fmt.Sprintf("must not be more than the limit for %s, %s", name, limit.String())))
		case limited && request.Cmp(limit) != 0 && !divisible(name):
			errs = append(errs, field.Invalid(requests, request.String(), fmt.Sprintf("must be the limit for %s, %s", name, limit.String())))
		case !limited && !divisible(name):
			errs = append(errs, field.Required(limits, fmt.Sprintf("must have a limit for %s", name)))
		}
	}
	return errs
}

func validateResource(path *field.Path, name corev1.ResourceName, quantity resource.Quantity) field.ErrorList {
	errs := validateResourceName(path, string(name))
	if quantity.Sign() < 0 {
		errs = append(errs, field.Invalid(path, quantity.String(), "must not be negative"))
	} else if extended(name) && quantity.MilliValue()%1000 != 0 {
		errs = append(errs, field.Invalid(path, quantity.String(), "must be an integer"))
	}
	return errs
}

// validateResourceName accepts the resources that containers have, and qualified names of extended ones.
func validateResourceName(path *field.Path, name string) field.ErrorList {
	if errs := validateText(path, name, validation.IsQualifiedName); len(errs) > 0 {
		return errs
	}
	if !strings.Contains(name, "/") {
		if standard(name) {
			return nil
		}
		return field.ErrorList{field.Invalid(path, name, "containers have no such resource; a resource of your own has a name like example.com/"+name)}
	}
	if !strings.Contains(name, corev1.ResourceDefaultNamespacePrefix) && !extended(corev1.ResourceName(name)) {
		return field.ErrorList{field.Invalid(path, name, "is no name of an extended resource")}
	}
	return nil
}

func standard(name string) bool {
	switch corev1.ResourceName(name) {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
		return true
	}
	return strings.HasPrefix(name, corev1.ResourceHugePagesPrefix)
}

// extended reports whether a resource belongs to somebody outside Kubernetes. It comes in whole units.
func extended(name corev1.ResourceName) bool {
	s := string(name)
	return strings.Contains(s, "/") && !strings.Contains(s, corev1.ResourceDefaultNamespacePrefix) &&
		!strings.HasPrefix(s, corev1.DefaultResourceRequestsPrefix) &&
		len(validation.IsQualifiedName(corev1.DefaultResourceRequestsPrefix+s)) == 0
}

// divisible reports whether a container may have less of a resource than its limit.
func divisible(name corev1.ResourceName) bool {
	return !extended(name) && !strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

func sorted(list corev1.ResourceList) []corev1.ResourceName {
	return slices.Sorted(maps.Keys(list))
}
