package workloads

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateEnv(path *field.Path, env []corev1.EnvVar) field.ErrorList {
	var errs field.ErrorList
	for i := range env {
		at, name, from := path.Index(i), env[i].Name, env[i].ValueFrom
		if name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else {
			errs = append(errs, validateText(at.Child("name"), name, validation.IsRelaxedEnvVarName)...)
		}
		if from != nil {
			errs = append(errs, validateSource(at.Child("valueFrom"), from, env[i].Value != "")...)
		}
	}
	return errs
}

// validateSource checks where an environment variable has its value from.
func validateSource(path *field.Path, from *corev1.EnvVarSource, hasValue bool) field.ErrorList {
	var errs field.ErrorList
	switch sources := given(*from); {
	case sources == 0:
		errs = append(errs, field.Invalid(path, "", "must name a source"))
	case hasValue:
		errs = append(errs, field.Invalid(path, "", "may not be given with a value"))
	case sources > 1:
		errs = append(errs, field.Invalid(path, "", "must name one source only"))
	}
	if ref := from.FieldRef; ref != nil {
		errs = append(errs, validateFieldRef(path.Child("fieldRef"), ref)...)
	}
	if ref := from.ConfigMapKeyRef; ref != nil {
		errs = append(errs, validateKeyOf(path.Child("configMapKeyRef"), ref.Name, ref.Key)...)
	}
	if ref := from.SecretKeyRef; ref != nil {
		errs = append(errs, validateKeyOf(path.Child("secretKeyRef"), ref.Name, ref.Key)...)
	}
	if ref := from.ResourceFieldRef; ref != nil && ref.Resource == "" {
		errs = append(errs, field.Required(path.Child("resourceFieldRef", "resource"), ""))
	}
	return errs
}

// validateKeyOf checks a reference to a key of a ConfigMap or a Secret.
func validateKeyOf(path *field.Path, name, key string) field.ErrorList {
	errs := validateReference(path, name)
	if key == "" {
		return append(errs, field.Required(path.Child("key"), ""))
	}
	return append(errs, validateText(path.Child("key"), key, validation.IsConfigMapKey)...)
}

// validateReference checks the name of another object.
func validateReference(path *field.Path, name string) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path.Child("name"), "")}
	}
	return validateText(path.Child("name"), name, func(name string) []string { return apivalidation.NameIsDNSSubdomain(name, true) })
}

// envFields are the fields of a Pod that an environment variable can have.
func envFields() []string {
	return []string{
		"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
		"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
	}
}

func validateFieldRef(path *field.Path, ref *corev1.ObjectFieldSelector) field.ErrorList {
	at := path.Child("fieldPath")
	switch {
	case ref.APIVersion == "":
		return field.ErrorList{field.Required(path.Child("apiVersion"), "")}
	case ref.FieldPath == "":
		return field.ErrorList{field.Required(at, "")}
	}
	for _, prefix := range []string{"metadata.labels['", "metadata.annotations['"} {
		if key, ok := strings.CutPrefix(ref.FieldPath, prefix); ok && strings.HasSuffix(key, "']") {
			return validateText(at, strings.TrimSuffix(key, "']"), func(key string) []string { return validation.IsQualifiedName(strings.ToLower(key)) })
		}
	}
	if !slices.Contains(envFields(), ref.FieldPath) {
		return field.ErrorList{field.NotSupported(at, ref.FieldPath, envFields())}
	}
	return nil
}

// validateEnvFrom checks the sources of whole environments. The API server reports a wrong number of sources at the list
// and not at its element.
func validateEnvFrom(path *field.Path, sources []corev1.EnvFromSource) field.ErrorList {
	var errs field.ErrorList
	for i, from := range sources {
		at := path.Index(i)
		if from.Prefix != "" {
			errs = append(errs, validateText(at.Child("prefix"), from.Prefix, validation.IsRelaxedEnvVarName)...)
		}
		if from.ConfigMapRef != nil {
			errs = append(errs, validateReference(at.Child("configMapRef"), from.ConfigMapRef.Name)...)
		}
		if from.SecretRef != nil {
			errs = append(errs, validateReference(at.Child("secretRef"), from.SecretRef.Name)...)
		}
		if (from.ConfigMapRef == nil) == (from.SecretRef == nil) {
			errs = append(errs, field.Invalid(path, "", "must have one of configMapRef and secretRef"))
		}
	}
	return errs
}
