package store

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/homeostat/homeostat/pkg/internal/secretdata"
)

// Kind says how objects of the Go type T are stored, and which rules they obey. A type of
// the scheme in [Options] needs a Kind only if it differs from the defaults. A type of
// your own needs one with its GroupVersionKind. T is a pointer type, as in
//
//	store.Kind[*Site]{GroupVersionKind: schema.GroupVersionKind{
//		Group: "example.com", Version: "v1", Kind: "Site"}}
//
// The hooks run during a write. All but ValidateAcross must not block. They must not keep
// or, except for Default, change the objects that they receive. They may be called concurrently.
type Kind[T Object] struct {
	// GroupVersionKind may be empty if the scheme knows T under exactly one.
	GroupVersionKind schema.GroupVersionKind

	// Resource is the plural under which the objects are stored. Defaults to
	// the lower-case plural of the kind, as Kubernetes derives it.
	Resource string

	// ClusterScoped says that the objects have no namespace. For Kubernetes' own
	// kinds it defaults to what Kubernetes says; for others, to false.
	ClusterScoped bool

	// Default sets fields that the writer left empty. It runs before validation on
	// create and update, and must be idempotent. An update stores the defaults only in
	// the parts of the object that it changes. Defaults to none.
	Default func(obj T)

	// ValidateCreate and ValidateUpdate report what is wrong with an object, with the
	// paths of the fields, such as field.NewPath("spec", "size"). The store itself
	// checks names, labels, annotations and owner references.
	//
	// ValidateUpdate runs for every update that changes something, also one of the
	// status. It gets both objects with all defaults and must change neither. Only its
	// errors about the parts that the update changes count: a part is a field of the
	// object, such as the spec or the status, or a field of the metadata. So a rule that
	// became stricter does not lock objects that are stored already, until somebody
	// changes the part that violates it. A path that is in no part counts as one of the
	// spec.
	//
	// ValidateCreate defaults to no rules, and ValidateUpdate to ValidateCreate.
	ValidateCreate func(obj T) field.ErrorList
	ValidateUpdate func(obj, old T) field.ErrorList

	// ValidateDelete may refuse a deletion. Defaults to allowing it.
	ValidateDelete func(obj T) field.ErrorList

	// ValidateAcross reports what is wrong with a write in view of other objects, such as
	// a reference to an object that is missing. It reads them with [Read], and the write
	// happens only if they are still the same. It runs after the other rules, for
	// creations, for deletions, and for updates that change more than the status and the
	// metadata. old is nil for a creation, and obj is nil for a deletion. If it returns
	// an error, such as that of a read, the write fails with that error. It may block
	// until ctx is done. It may be called several times for one write. Defaults to no
	// rules.
	ValidateAcross func(ctx context.Context, r *Reader, obj, old T) (field.ErrorList, error)

	// Fields returns the fields by which a list can select, in addition to
	// metadata.name and metadata.namespace, with their values in an object. It must
	// return the same fields for every object, even an empty one, and must not change
	// the object. Defaults to none.
	Fields func(obj T) fields.Set
}

// AnyKind is a [Kind] or a [Version] of any type. Only this package implements it.
type AnyKind interface {
	info(*runtime.Scheme) (*kindInfo, error)
}

// kindInfo is a Kind without its type parameter and with its defaults set. It does not
// change after New.
type kindInfo struct {
	gvk           schema.GroupVersionKind
	resource      schema.GroupResource
	clusterScoped bool
	goType        reflect.Type // the struct, not the pointer
	spec, status  []int        // indexes of these fields, nil when there is none
	parts         []part

	defaults       func(Object)
	validateCreate func(Object) field.ErrorList
	validateUpdate func(obj, old Object) field.ErrorList
	validateDelete func(Object) field.ErrorList
	validateAcross acrossFunc
	fields         func(Object) fields.Set

	codec  *codec
	prefix string // of the etcd keys

	// versions are the further versions that are stored as this kind. The fields below
	// are set for a further version.
	versions             []*kindInfo
	storedAs             reflect.Type
	stored               *kindInfo
	toStored, fromStored func(from, to Object) error
}

func (k Kind[T]) info(scheme *runtime.Scheme) (*kindInfo, error) {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("kind of %s: the type parameter must be a pointer to a struct", t)
	}
	gvk := k.GroupVersionKind
	if gvk.Empty() {
		known, _, err := scheme.ObjectKinds(reflect.New(t.Elem()).Interface().(T))
		if err != nil || len(known) != 1 {
			return nil, fmt.Errorf("kind of %s: set GroupVersionKind: the scheme knows the type under %d kinds", t, len(known))
		}
		gvk = known[0]
	}
	if gvk.Version == "" || gvk.Kind == "" {
		return nil, fmt.Errorf("kind of %s: %q lacks a version or a kind", t, gvk)
	}
	info, err := newKindInfo(gvk, t.Elem())
	if err != nil {
		return nil, err
	}
	if k.Resource != "" {
		info.resource.Resource = k.Resource
	}
	info.clusterScoped = info.clusterScoped || k.ClusterScoped
	k.addHooks(info)
	return info, info.check()
}

// addHooks wraps the typed hooks. The assertions hold because a kindInfo is
// only used for objects of its own Go type.
func (k Kind[T]) addHooks(info *kindInfo) {
	if k.Default != nil {
		info.defaults = func(o Object) { k.Default(o.(T)) }
	}
	if k.ValidateCreate != nil {
		info.validateCreate = func(o Object) field.ErrorList { return k.ValidateCreate(o.(T)) }
		info.validateUpdate = func(o, _ Object) field.ErrorList { return k.ValidateCreate(o.(T)) }
	}
	if k.ValidateUpdate != nil {
		info.validateUpdate = func(o, old Object) field.ErrorList { return k.ValidateUpdate(o.(T), old.(T)) }
	}
	if k.ValidateDelete != nil {
		info.validateDelete = func(o Object) field.ErrorList { return k.ValidateDelete(o.(T)) }
	}
	if k.ValidateAcross != nil {
		info.validateAcross = func(ctx context.Context, r *Reader, obj, old Object) (field.ErrorList, error) {
			is, _ := obj.(T) // nil for a deletion
			was, _ := old.(T)
			return k.ValidateAcross(ctx, r, is, was)
		}
	}
	if k.Fields != nil {
		info.fields = func(o Object) fields.Set { return k.Fields(o.(T)) }
	}
}

func newKindInfo(gvk schema.GroupVersionKind, t reflect.Type) (*kindInfo, error) {
	if err := checkCopyable(t); err != nil {
		return nil, fmt.Errorf("kind %s: %w", gvk, err)
	}
	if err := checkCopiesItself(t); err != nil {
		return nil, fmt.Errorf("kind %s: %w", gvk, err)
	}
	return &kindInfo{
		gvk:           gvk,
		resource:      guessResource(gvk),
		clusterScoped: kubernetesClusterScoped(gvk.GroupKind()),
		goType:        t,
		spec:          fieldIndex(t, "Spec"),
		status:        fieldIndex(t, "Status"),
		parts:         partsOf(t),
	}, nil
}

// checkCopiesItself returns an error for a type that inherits DeepCopyObject from an
// embedded type: its copies would have that type.
func checkCopiesItself(t reflect.Type) error {
	obj := reflect.New(t).Interface().(Object)
	if c := obj.DeepCopyObject(); reflect.TypeOf(c) != reflect.TypeOf(obj) {
		return fmt.Errorf("DeepCopyObject of %T returns %T: give the type a method of its own", obj, c)
	}
	return nil
}

func fieldIndex(t reflect.Type, name string) []int {
	if f, ok := t.FieldByName(name); ok && len(f.Index) == 1 {
		return f.Index
	}
	return nil
}

func (k *kindInfo) check() error {
	if r := k.resource.Resource; checkSegment("resource", r) != nil || strings.Contains(r, " ") || r != strings.ToLower(r) {
		return fmt.Errorf("kind %s: resource %q: must be lower case and a valid part of a path", k.gvk, r)
	}
	switch g := k.gvk.Group; {
	case g == coreGroup:
		return fmt.Errorf("kind %s: group %q: its keys would be those of the empty group", k.gvk, g)
	case g != "" && checkSegment("group", g) != nil:
		return fmt.Errorf("kind %s: group %q: must be a valid part of a path", k.gvk, g)
	}
	return nil
}

func (k *kindInfo) newObject() Object {
	return reflect.New(k.goType).Interface().(Object)
}

// assign makes *dst a shallow copy of *src, both of this kind's Go type.
func assign(dst, src Object) {
	reflect.ValueOf(dst).Elem().Set(reflect.ValueOf(src).Elem())
}

// copyField makes a shallow copy of one field. The caller must not share it afterwards.
func (k *kindInfo) copyField(index []int, dst, src Object) {
	reflect.ValueOf(dst).Elem().FieldByIndex(index).Set(reflect.ValueOf(src).Elem().FieldByIndex(index))
}

// copyStatus makes a deep copy of the status of src in dst, if the kind has a status. It
// copies an object with nothing but the status, which is cheaper than a whole one.
func (k *kindInfo) copyStatus(dst, src Object) {
	if k.status == nil {
		return
	}
	only := k.newObject()
	k.copyField(k.status, only, src)
	k.copyField(k.status, dst, only.DeepCopyObject().(Object))
}

func (k *kindInfo) clearField(index []int, obj Object) {
	reflect.ValueOf(obj).Elem().FieldByIndex(index).SetZero()
}

func (k *kindInfo) fieldOf(index []int, obj Object) any {
	return reflect.ValueOf(obj).Elem().FieldByIndex(index).Addr().Interface()
}

// guessResource applies Kubernetes' rule for plurals, with its one exception.
func guessResource(gvk schema.GroupVersionKind) schema.GroupResource {
	if gvk.Kind == "Endpoints" {
		return schema.GroupResource{Group: gvk.Group, Resource: "endpoints"}
	}
	plural, _ := meta.UnsafeGuessKindToResource(gvk)
	return plural.GroupResource()
}

// kubernetesClusterScoped knows the built-in kinds that have no namespace.
func kubernetesClusterScoped(gk schema.GroupKind) bool {
	switch gk.Group {
	case "":
		return gk.Kind == "Namespace" || gk.Kind == "Node" || gk.Kind == "PersistentVolume" || gk.Kind == "ComponentStatus"
	case "authorization.k8s.io":
		return gk.Kind != "LocalSubjectAccessReview"
	case "certificates.k8s.io":
		return gk.Kind != "PodCertificateRequest"
	case "rbac.authorization.k8s.io":
		return strings.HasPrefix(gk.Kind, "ClusterRole")
	case "storage.k8s.io":
		return gk.Kind != "CSIStorageCapacity"
	case "networking.k8s.io":
		return gk.Kind == "IngressClass" || gk.Kind == "IPAddress" || gk.Kind == "ServiceCIDR"
	case "resource.k8s.io":
		return !strings.HasPrefix(gk.Kind, "ResourceClaim")
	case "scheduling.k8s.io":
		return gk.Kind == "PriorityClass"
	case "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "authentication.k8s.io",
		"flowcontrol.apiserver.k8s.io", "imagepolicy.k8s.io", "internal.apiserver.k8s.io", "node.k8s.io", "storagemigration.k8s.io":
		return true
	}
	return false
}

// kinds finds the kind of a Go type or of a GroupVersionKind.
type kinds struct {
	byType map[reflect.Type]*kindInfo
	byGVK  map[schema.GroupVersionKind]*kindInfo
	codec  *codec
}

func newKinds(scheme *runtime.Scheme, own []AnyKind) (*kinds, error) {
	ks := &kinds{byType: map[reflect.Type]*kindInfo{}, byGVK: map[schema.GroupVersionKind]*kindInfo{}}
	for _, k := range own {
		info, err := k.info(scheme)
		if err != nil {
			return nil, err
		}
		if err := ks.addOwn(info); err != nil {
			return nil, err
		}
	}
	if err := ks.addScheme(scheme); err != nil {
		return nil, err
	}
	return ks, ks.linkVersions()
}

// addScheme adds the types of a scheme for which there is no Kind, in a fixed order.
func (ks *kinds) addScheme(scheme *runtime.Scheme) error {
	known := scheme.AllKnownTypes()
	byName := func(a, b schema.GroupVersionKind) int { return strings.Compare(a.String(), b.String()) }
	own := maps.Clone(ks.byType)
	for _, gvk := range slices.SortedFunc(maps.Keys(known), byName) {
		t := known[gvk]
		if gvk.Version == runtime.APIVersionInternal || !isObject(t) || own[t] != nil || ks.byGVK[gvk] != nil {
			continue
		}
		info, err := newKindInfo(gvk, t)
		if err != nil {
			return err
		}
		if err := ks.add(info); err != nil {
			return err
		}
	}
	return nil
}

func isObject(t reflect.Type) bool {
	ptr := reflect.PointerTo(t)
	return ptr.Implements(reflect.TypeFor[Object]()) && t.Kind() == reflect.Struct
}

// addOwn adds a kind of [Options]. Versions of a scheme's kind share their keys; two kinds
// of Options must not.
func (ks *kinds) addOwn(k *kindInfo) error {
	for _, other := range ks.byType {
		if k.storedAs == nil && other.storedAs == nil && other.resource == k.resource && other.gvk != k.gvk {
			return fmt.Errorf("kinds %s and %s: both are stored as %s: give one another Resource", other.gvk, k.gvk, k.resource)
		}
	}
	return ks.add(k)
}

func (ks *kinds) add(k *kindInfo) error {
	if other := ks.byType[k.goType]; other != nil {
		return fmt.Errorf("kinds %s and %s: both have the Go type %s: give each a type of its own, or say in Kinds which is meant", other.gvk, k.gvk, k.goType)
	}
	if ks.byGVK[k.gvk] != nil {
		return fmt.Errorf("kind %s is given twice", k.gvk)
	}
	ks.byType[k.goType], ks.byGVK[k.gvk] = k, k
	return nil
}

// of returns the kind of an object's Go type.
func (ks *kinds) of(obj Object) (*kindInfo, error) {
	t := reflect.TypeOf(obj)
	if t == nil || t.Kind() != reflect.Pointer || reflect.ValueOf(obj).IsNil() {
		return nil, fmt.Errorf("object of type %T is nil", obj)
	}
	return ks.ofType(t)
}

func (ks *kinds) ofType(ptr reflect.Type) (*kindInfo, error) {
	if ptr.Kind() != reflect.Pointer {
		return nil, fmt.Errorf("%s is not a pointer to a struct", ptr)
	}
	if k := ks.byType[ptr.Elem()]; k != nil {
		return k, nil
	}
	return nil, fmt.Errorf("type %s is not known to this store: add it to Options.Scheme or Options.Kinds", ptr)
}

// KindInfo describes a kind of a store; see [KindOf] and [Store.Kinds].
type KindInfo struct {
	GroupVersionKind schema.GroupVersionKind
	// Resource names the kind in etcd keys: the group, and the plural of the kind.
	Resource schema.GroupResource
	// ClusterScoped says that the objects have no namespace.
	ClusterScoped bool
}

// KindOf returns the kind of the type T, for example to name it in a message. It returns
// an error if the store does not know the type.
func KindOf[T Object](s *Store) (KindInfo, error) {
	k, err := s.kinds.ofType(reflect.TypeFor[T]())
	if err != nil {
		return KindInfo{}, err
	}
	return k.public(), nil
}

// KindOf returns the kind of an object's type. Use it instead of the object's apiVersion
// and kind, which may be empty. It returns an error if the store does not know the type.
func (s *Store) KindOf(obj Object) (KindInfo, error) {
	k, err := s.kinds.of(obj)
	if err != nil {
		return KindInfo{}, err
	}
	return k.public(), nil
}

// LookupKind returns the kind of a GroupVersionKind, such as that of a manifest or an
// owner reference, and false if the store does not know it.
func (s *Store) LookupKind(gvk schema.GroupVersionKind) (KindInfo, bool) {
	k := s.kinds.byGVK[gvk]
	if k == nil {
		return KindInfo{}, false
	}
	return k.public(), true
}

// NewObject returns an empty object of a kind, and false if the store does not know the
// kind. Use it to decode an object of a kind that is known only when the program runs.
func (s *Store) NewObject(gvk schema.GroupVersionKind) (Object, bool) {
	k := s.kinds.byGVK[gvk]
	if k == nil {
		return nil, false
	}
	return k.newObject(), true
}

// Default changes an object as a write would: it moves the stringData of a Secret into
// its data, and sets the defaults of obj's [Kind]. Use it to compare an object with a
// stored one. It sets no defaults in an object of a [Version].
func (s *Store) Default(obj Object) error {
	k, err := s.kinds.of(obj)
	if err != nil {
		return fmt.Errorf("default: %w", err)
	}
	secretdata.Fold(k.gvk.GroupKind(), obj)
	if k.defaults != nil {
		k.defaults(obj)
	}
	return nil
}

func (k *kindInfo) public() KindInfo {
	return KindInfo{GroupVersionKind: k.gvk, Resource: k.resource, ClusterScoped: k.clusterScoped}
}

// OwnerReference returns a reference to owner, for an object that owner
// controls. Like the one of metav1.NewControllerRef, it blocks the owner's
// foreground deletion. Its apiVersion and kind are those under which the store
// knows the type of owner.
func (s *Store) OwnerReference(owner Object) (metav1.OwnerReference, error) {
	k, err := s.kinds.of(owner)
	if err != nil {
		return metav1.OwnerReference{}, fmt.Errorf("owner reference: %w", err)
	}
	if owner.GetUID() == "" {
		return metav1.OwnerReference{}, fmt.Errorf("owner reference: %s %s has no uid yet: create it first", k.gvk.Kind, KeyOf(owner))
	}
	return *metav1.NewControllerRef(owner, k.gvk), nil
}
