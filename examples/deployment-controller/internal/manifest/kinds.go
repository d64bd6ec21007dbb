package manifest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// maxNamed is the maximum number of kinds that a message lists.
const maxNamed = 12

// newObject returns an empty object of the kind, or an error and the field that it is about.
func newObject(scheme *runtime.Scheme, meta metav1.TypeMeta) (object Object, field string, err error) {
	gv, err := schema.ParseGroupVersion(meta.APIVersion)
	if err != nil {
		return nil, "apiVersion", err
	}
	created, err := scheme.New(gv.WithKind(meta.Kind))
	if err != nil && !runtime.IsNotRegisteredError(err) {
		return nil, "kind", err
	}
	object, ok := created.(Object)
	if !ok || gv.Version == runtime.APIVersionInternal {
		return nil, "kind", unknownKind(scheme, meta)
	}
	return object, "", nil
}

// unknownKind returns an error that suggests kinds: those of the same name in another version, or else those of the
// same version, or else all.
func unknownKind(scheme *runtime.Scheme, meta metav1.TypeMeta) error {
	all := knownKinds(scheme)
	known := all
	for _, alike := range []func(metav1.TypeMeta) bool{
		func(k metav1.TypeMeta) bool { return k.Kind == meta.Kind },
		func(k metav1.TypeMeta) bool { return k.APIVersion == meta.APIVersion && len(all) > maxNamed },
	} {
		if some := filter(all, alike); len(some) > 0 {
			known = some
			break
		}
	}
	if len(known) == 0 {
		return errors.New("unknown kind: the scheme knows none")
	}
	var names []string
	for _, k := range known[:min(len(known), maxNamed)] {
		names = append(names, k.APIVersion+" "+k.Kind)
	}
	list := strings.Join(names, ", ")
	if more := len(known) - len(names); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Errorf("%s %s is unknown; known: %s", meta.APIVersion, meta.Kind, list)
}

// knownKinds returns the kinds of objects in the scheme, sorted. It leaves out lists and the options of requests.
func knownKinds(scheme *runtime.Scheme) []metav1.TypeMeta {
	var kinds []metav1.TypeMeta
	for gvk, t := range scheme.AllKnownTypes() {
		if gvk.Version != runtime.APIVersionInternal && reflect.PointerTo(t).Implements(reflect.TypeFor[Object]()) {
			kinds = append(kinds, metav1.TypeMeta{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind})
		}
	}
	slices.SortFunc(kinds, func(a, b metav1.TypeMeta) int {
		return strings.Compare(a.APIVersion+" "+a.Kind, b.APIVersion+" "+b.Kind)
	})
	return kinds
}

func filter(kinds []metav1.TypeMeta, keep func(metav1.TypeMeta) bool) []metav1.TypeMeta {
	var kept []metav1.TypeMeta
	for _, k := range kinds {
		if keep(k) {
			kept = append(kept, k)
		}
	}
	return kept
}
