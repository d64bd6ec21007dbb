package storetest

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/homeostat/homeostat/pkg/store"
)

// kind is a kind that rules run on. spec and status return a number in the object's spec and
// status for rules to change; they are nil for kinds without spec and status.
type kind[T store.Object] struct {
	name   string
	make   func() T
	spec   func(T) *int32
	status func(T) *int32
}

// named returns a new object.
func (k kind[T]) named(name string) T {
	obj := k.make()
	obj.SetNamespace("default")
	obj.SetName(name)
	return obj
}

// sized returns a new object with a number in its spec.
func (k kind[T]) sized(name string, size int32) T {
	obj := k.named(name)
	*k.spec(obj) = size
	return obj
}

// widget is encoded as JSON only. It has hooks for each verb.
type widget = store.Resource[widgetSpec, widgetStatus]

type widgetSpec struct {
	Size  int32  `json:"size,omitempty"`
	Color string `json:"color,omitempty"`
}

type widgetStatus struct {
	Ready int32 `json:"ready,omitempty"`
}

// zone is cluster-scoped.
type zone = store.Resource[zoneSpec, widgetStatus]

type zoneSpec struct {
	Sites int32 `json:"sites,omitempty"`
}

func widgets() kind[*widget] {
	return kind[*widget]{
		name:   "Resource",
		make:   func() *widget { return &widget{} },
		spec:   func(w *widget) *int32 { return &w.Spec.Size },
		status: func(w *widget) *int32 { return &w.Status.Ready },
	}
}

func deployments() kind[*appsv1.Deployment] {
	return kind[*appsv1.Deployment]{
		name:   "Deployment",
		make:   func() *appsv1.Deployment { return &appsv1.Deployment{} },
		spec:   func(d *appsv1.Deployment) *int32 { return &d.Spec.MinReadySeconds },
		status: func(d *appsv1.Deployment) *int32 { return &d.Status.ReadyReplicas },
	}
}

func configMaps() kind[*corev1.ConfigMap] {
	return kind[*corev1.ConfigMap]{name: "ConfigMap", make: func() *corev1.ConfigMap { return &corev1.ConfigMap{} }}
}

// options sets Scheme and Kinds only.
func options() store.Options {
	return store.Options{
		Scheme: runtime.NewScheme(),
		Kinds: []store.AnyKind{
			widgetKind(),
			store.Kind[*zone]{
				GroupVersionKind: schema.GroupVersionKind{Group: "storetest.example.com", Version: "v1", Kind: "Zone"},
				ClusterScoped:    true,
			},
			store.Kind[*appsv1.Deployment]{GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("Deployment")},
			store.Kind[*corev1.ConfigMap]{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("ConfigMap")},
		},
	}
}

const defaultColor, protected = "grey", "protected"

func widgetKind() store.Kind[*widget] {
	return store.Kind[*widget]{
		GroupVersionKind: schema.GroupVersionKind{Group: "storetest.example.com", Version: "v1", Kind: "Widget"},
		Default: func(w *widget) {
			if w.Spec.Color == "" {
				w.Spec.Color = defaultColor
			}
		},
		ValidateCreate: func(w *widget) (errs field.ErrorList) {
			if w.Spec.Size < 0 {
				errs = append(errs, field.Invalid(field.NewPath("spec", "size"), w.Spec.Size, "must not be negative"))
			}
			return errs
		},
		ValidateUpdate: func(w, old *widget) (errs field.ErrorList) {
			if w.Spec.Color != old.Spec.Color {
				errs = append(errs, field.Forbidden(field.NewPath("spec", "color"), "is immutable"))
			}
			return errs
		},
		ValidateDelete: func(w *widget) (errs field.ErrorList) {
			if metav1.HasLabel(w.ObjectMeta, protected) {
				errs = append(errs, field.Forbidden(field.NewPath("metadata", "labels"), "the widget is protected"))
			}
			return errs
		},
	}
}
