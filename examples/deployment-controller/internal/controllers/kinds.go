package controllers

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/workloads"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// NewScheme returns a scheme with the kinds that the example can store.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return scheme, nil
}

// Kinds returns the kinds with the defaults and the validation of an API server.
func Kinds() []store.AnyKind {
	return []store.AnyKind{
		store.Kind[*appsv1.Deployment]{
			Default:        workloads.DefaultDeployment,
			ValidateCreate: workloads.ValidateDeployment,
			ValidateUpdate: workloads.ValidateDeploymentUpdate,
		},
		store.Kind[*appsv1.ReplicaSet]{
			Default:        workloads.DefaultReplicaSet,
			ValidateCreate: workloads.ValidateReplicaSet,
			ValidateUpdate: workloads.ValidateReplicaSetUpdate,
		},
		store.Kind[*corev1.Pod]{
			Default:        workloads.DefaultPod,
			ValidateCreate: workloads.ValidatePod,
			ValidateUpdate: workloads.ValidatePodUpdate,
		},
	}
}

// Acts reports whether a controller in this package acts on objects of obj's kind.
// Other kinds are only stored.
func Acts(obj store.Object) bool {
	switch obj.(type) {
	case *appsv1.Deployment, *appsv1.ReplicaSet, *corev1.Pod:
		return true
	}
	return false
}

// Owners finds objects by the uid of their controller.
type Owners struct {
	ReplicaSets *informer.Index[*appsv1.ReplicaSet]
	Pods        *informer.Index[*corev1.Pod]
}

// NewOwners adds the indexes to a manager's replica.
func NewOwners(m *controller.Manager) (*Owners, error) {
	sets, err := informer.For[*appsv1.ReplicaSet](m.Replica())
	if err != nil {
		return nil, err
	}
	pods, err := informer.For[*corev1.Pod](m.Replica())
	if err != nil {
		return nil, err
	}
	return &Owners{ownerIndex(sets), ownerIndex(pods)}, nil
}

// ownerIndex indexes objects by the uid of their controller.
func ownerIndex[T store.Object](inf *informer.Informer[T]) *informer.Index[T] {
	return inf.AddIndex(func(obj T) []string {
		if ref := metav1.GetControllerOfNoCopy(obj); ref != nil {
			return []string{string(ref.UID)}
		}
		return nil
	})
}
