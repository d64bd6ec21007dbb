package store

import (
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// checkCreate applies the rules for all objects, then those of the kind.
func (k *kindInfo) checkCreate(obj Object) error {
	errs := validation.ValidateObjectMetaAccessor(obj, !k.clusterScoped, k.validateName, field.NewPath("metadata"))
	if k.validateCreate != nil {
		errs = append(errs, k.validateCreate(obj)...)
	}
	return k.invalid(obj, errs)
}

// checkUpdate does so for what an update changes. obj has the old object's
// resourceVersion.
func (k *kindInfo) checkUpdate(obj, old Object, c change) error {
	path := field.NewPath("metadata")
	errs := validation.ValidateObjectMetaAccessorUpdate(obj, old, path)
	errs = append(errs, validation.ValidateFinalizers(obj.GetFinalizers(), path.Child("finalizers"))...)
	if k.validateUpdate != nil {
		errs = append(errs, k.validateUpdate(obj, old)...)
	}
	return k.invalid(obj, c.concerns(obj, old, errs))
}

func (k *kindInfo) invalid(obj Object, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	if k.codec.keys != nil {
		errs = withoutValues(errs)
	}
	return apierrors.NewInvalid(k.gvk.GroupKind(), obj.GetName(), errs)
}

// withoutValues returns the errors without the values of the fields.
func withoutValues(errs field.ErrorList) field.ErrorList {
	hidden := make(field.ErrorList, len(errs))
	for i, err := range errs {
		c := *err
		c.BadValue = field.OmitValueType{}
		hidden[i] = &c
	}
	return hidden
}

// validateName applies Kubernetes' rule for names. The kinds of RBAC may use every
// character that a path may.
func (k *kindInfo) validateName(name string, prefix bool) []string {
	if k.gvk.Group == "rbac.authorization.k8s.io" {
		return content.IsPathSegmentName(name)
	}
	if prefix {
		name = strings.TrimRight(name, "-.")
	}
	return validation.NameIsDNSSubdomain(name, prefix)
}
