package manifest

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/store"
)

// maxNamed is the maximum number of kinds that a message lists.
const maxNamed = 12

// newObject returns an empty object of the kind, or an error and the field that it is about.
func newObject(s *store.Store, meta metav1.TypeMeta) (object store.Object, field string, err error) {
	gv, err := schema.ParseGroupVersion(meta.APIVersion)
	if err != nil {
		return nil, "apiVersion", err
	}
	object, ok := s.NewObject(gv.WithKind(meta.Kind))
	if !ok {
		return nil, "kind", unknownKind(s, meta)
	}
	return object, "", nil
}

// unknownKind returns an error that suggests kinds: those of the same name in another version, or else those of the
// same version, or else all.
func unknownKind(s *store.Store, meta metav1.TypeMeta) error {
	all := knownKinds(s)
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

// knownKinds returns the kinds of the store, sorted.
func knownKinds(s *store.Store) []metav1.TypeMeta {
	var kinds []metav1.TypeMeta
	for _, k := range s.Kinds() {
		apiVersion, kind := k.GroupVersionKind.ToAPIVersionAndKind()
		kinds = append(kinds, metav1.TypeMeta{APIVersion: apiVersion, Kind: kind})
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
