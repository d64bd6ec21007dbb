// Package patterns has the code of docs/patterns.md, with its tests.
package patterns

import (
	"context"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/store"
)

// Server is a machine at a cloud provider.
type Server = store.Resource[ServerSpec, ServerStatus]

type ServerSpec struct {
	Pool    string          `json:"pool,omitempty"`
	Image   string          `json:"image,omitempty"`
	Config  string          `json:"config,omitempty"` // names a ConfigMap
	Disks   []string        `json:"disks,omitempty"`
	Backups metav1.Duration `json:"backups,omitzero"` // the time between two
	Price   int64           `json:"price,omitempty"`
}

type ServerStatus struct {
	Operation  string             `json:"operation,omitempty"` // of the cloud, while it runs
	Image      string             `json:"image,omitempty"`     // that runs
	Upgrade    string             `json:"upgrade,omitempty"`   // the image that the pool allows
	LastBackup metav1.Time        `json:"lastBackup,omitzero"`
	Receipt    string             `json:"receipt,omitempty"`
	Paid       int64              `json:"paid,omitempty"` // the generation that was paid for
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Pool limits how many of its servers are upgraded at the same time, and numbers them.
type Pool = store.Resource[PoolSpec, PoolStatus]

type PoolSpec struct {
	MaxUpgrading int `json:"maxUpgrading"`
}

type PoolStatus struct {
	Numbers map[string]int `json:"numbers,omitempty"` // by the names of servers
}

// Cloud creates machines. Its calls take the uid of a Server, so that a repeated call has
// no further effect.
type Cloud interface {
	Start(ctx context.Context, uid, image string) (operation string, err error)
	Done(ctx context.Context, operation string) (bool, error)
	Delete(ctx context.Context, uid string) error
	Pay(ctx context.Context, token string, amount int64) (receipt string, err error)
}

// Kinds returns the kinds of the examples.
func Kinds() []store.AnyKind {
	return []store.AnyKind{
		serverKind(),
		store.Kind[*Pool]{GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Pool"}},
		store.Kind[*batchv1.Job]{GroupVersionKind: batchv1.SchemeGroupVersion.WithKind("Job")},
		store.Kind[*coordinationv1.Lease]{GroupVersionKind: coordinationv1.SchemeGroupVersion.WithKind("Lease")},
		store.Kind[*corev1.ConfigMap]{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("ConfigMap")},
		store.Kind[*corev1.PersistentVolumeClaim]{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim")},
	}
}

const pollInterval = 10 * time.Second

// servers is what several examples need.
type servers struct{ cloud Cloud }
