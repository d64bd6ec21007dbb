package workloads

import (
	"path"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateVolumes(list *field.Path, volumes []corev1.Volume) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i := range volumes {
		at := list.Index(i)
		errs = append(errs, label(at.Child("name"), volumes[i].Name)...)
		errs = append(errs, unique(at.Child("name"), seen, volumes[i].Name)...)
		errs = append(errs, validateVolumeSource(at, &volumes[i].VolumeSource)...)
	}
	return errs
}

// validateVolumeSource requires one source, and checks the contents of common ones.
func validateVolumeSource(at *field.Path, v *corev1.VolumeSource) field.ErrorList {
	var errs field.ErrorList
	given := givenFields(v)
	if len(given) == 0 {
		return field.ErrorList{field.Required(at, "a volume has a source")}
	}
	if i := slices.Index(given, "emptyDir"); i > 0 { // the API server looks at it first
		given[0], given[i] = given[i], given[0]
	}
	for _, name := range given[1:] {
		errs = append(errs, field.Forbidden(at.Child(name), "a volume has one source only"))
	}
	switch given[0] {
	case "hostPath":
		errs = append(errs, validateHostPath(at.Child("hostPath"), v.HostPath)...)
	case "secret":
		errs = append(errs, required(at.Child("secret", "secretName"), v.Secret.SecretName)...)
		errs = append(errs, validateItems(at.Child("secret", "items"), v.Secret.Items)...)
	case "configMap":
		errs = append(errs, required(at.Child("configMap", "name"), v.ConfigMap.Name)...)
		errs = append(errs, validateItems(at.Child("configMap", "items"), v.ConfigMap.Items)...)
	case "persistentVolumeClaim":
		errs = append(errs, required(at.Child("persistentVolumeClaim", "claimName"), v.PersistentVolumeClaim.ClaimName)...)
	}
	return errs
}

// givenFields returns the names of the fields that are set in a struct of alternatives.
func givenFields(alternatives any) []string {
	var names []string
	v := reflect.ValueOf(alternatives).Elem()
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

func validateHostPath(at *field.Path, source *corev1.HostPathVolumeSource) field.ErrorList {
	if source.Path == "" {
		return field.ErrorList{field.Required(at.Child("path"), "")}
	}
	errs := withoutBacksteps(at.Child("path"), source.Path)
	if source.Type == nil {
		return errs
	}
	known := []corev1.HostPathType{
		corev1.HostPathUnset, corev1.HostPathDirectoryOrCreate, corev1.HostPathDirectory, corev1.HostPathFileOrCreate,
		corev1.HostPathFile, corev1.HostPathSocket, corev1.HostPathCharDev, corev1.HostPathBlockDev,
	}
	if !slices.Contains(known, *source.Type) {
		errs = append(errs, field.NotSupported(at.Child("type"), *source.Type, known))
	}
	return errs
}

// validateItems checks which keys become files, and where.
func validateItems(list *field.Path, items []corev1.KeyToPath) field.ErrorList {
	var errs field.ErrorList
	for i, item := range items {
		at := list.Index(i)
		errs = append(errs, required(at.Child("key"), item.Key)...)
		errs = append(errs, required(at.Child("path"), item.Path)...)
		errs = append(errs, descending(at.Child("path"), item.Path)...)
		if strings.HasPrefix(item.Path, "..") && !strings.HasPrefix(item.Path, "../") && item.Path != ".." {
			errs = append(errs, field.Invalid(at.Child("path"), item.Path, "must not begin with two dots"))
		}
		if item.Mode != nil && (*item.Mode < 0 || *item.Mode > 0o777) {
			errs = append(errs, field.Invalid(at.Child("mode"), *item.Mode, validation.InclusiveRangeError(0, 0o777)))
		}
	}
	return errs
}

// validateMounts checks the mounts of a container. The API server reports a wrong path within a volume, and a wrong
// propagation, at the list and not at its element.
func validateMounts(list *field.Path, c *corev1.Container, volumes map[string]bool) field.ErrorList {
	var errs field.ErrorList
	paths := map[string]bool{}
	for i := range c.VolumeMounts {
		at, m := list.Index(i), &c.VolumeMounts[i]
		errs = append(errs, required(at.Child("name"), m.Name)...)
		if m.Name != "" && !volumes[m.Name] {
			errs = append(errs, field.NotFound(at.Child("name"), m.Name))
		}
		errs = append(errs, required(at.Child("mountPath"), m.MountPath)...)
		if paths[m.MountPath] {
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must be unique"))
		}
		paths[m.MountPath] = true
		errs = append(errs, descending(list.Child("subPath"), m.SubPath)...)
		errs = append(errs, descending(list.Child("subPathExpr"), m.SubPathExpr)...)
		if m.SubPath != "" && m.SubPathExpr != "" {
			errs = append(errs, field.Invalid(at.Child("subPathExpr"), m.SubPathExpr, "may not be given with subPath"))
		}
		errs = append(errs, validatePropagation(list.Child("mountPropagation"), c, m.MountPropagation)...)
	}
	return errs
}

func validatePropagation(path *field.Path, c *corev1.Container, mode *corev1.MountPropagationMode) field.ErrorList {
	if mode == nil {
		return nil
	}
	privileged := c.SecurityContext != nil && c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged
	switch {
	case *mode == corev1.MountPropagationBidirectional && !privileged:
		return field.ErrorList{field.Forbidden(path, "Bidirectional is for privileged containers only")}
	}
	known := []corev1.MountPropagationMode{corev1.MountPropagationNone, corev1.MountPropagationHostToContainer, corev1.MountPropagationBidirectional}
	if !slices.Contains(known, *mode) {
		return field.ErrorList{field.NotSupported(path, *mode, known)}
	}
	return nil
}

// descending requires a path that stays below where it begins.
func descending(at *field.Path, p string) field.ErrorList {
	var errs field.ErrorList
	if path.IsAbs(p) {
		errs = append(errs, field.Invalid(at, p, "must be a relative path"))
	}
	return append(errs, withoutBacksteps(at, p)...)
}

func withoutBacksteps(at *field.Path, p string) field.ErrorList {
	if slices.Contains(strings.Split(p, "/"), "..") {
		return field.ErrorList{field.Invalid(at, p, "must not contain '..'")}
	}
	return nil
}
