//go:build unix

package test

import (
	"context"
	"fmt"
	"os"

	"github.com/go-logr/logr/funcr"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/store"
)

// A Volume as three releases of one program know it. The second adds fields, and the
// third a version of the API.
type (
	FirstVolume  = store.Resource[FirstVolumeSpec, VolumeStatus]
	SecondVolume = store.Resource[SecondVolumeSpec, VolumeStatus]
	VolumeV2     = store.Resource[VolumeV2Spec, VolumeStatus]
)

type FirstVolumeSpec struct {
	Size int `json:"size"`
}

type SecondVolumeSpec struct {
	Size int    `json:"size"`
	TLS  string `json:"tls,omitempty"`
	Mode string `json:"mode,omitempty"`
}

type VolumeV2Spec struct {
	SizeGiB  int            `json:"sizeGiB"`
	Security VolumeSecurity `json:"security"`
}

type VolumeSecurity struct {
	TLS  string `json:"tls,omitempty"`
	Mode string `json:"mode,omitempty"`
}

type VolumeStatus struct {
	Observed int64 `json:"observed,omitempty"`
}

const volumeFinalizer = "upgrade.test/volume"

func volumeKind(version string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "upgrade.test", Version: version, Kind: "Volume"}
}

// secondRules hold sizes to 1 to 5, and have a default for a mode that never changes.
func secondRules() store.Kind[*SecondVolume] {
	k := store.Kind[*SecondVolume]{GroupVersionKind: volumeKind("v1")}
	k.Default = func(v *SecondVolume) {
		if v.Spec.Mode == "" {
			v.Spec.Mode = "auto"
		}
	}
	k.ValidateUpdate = func(v, old *SecondVolume) (errs field.ErrorList) {
		if v.Spec.Size < 1 || v.Spec.Size > 5 {
			errs = append(errs, field.Invalid(field.NewPath("spec", "size"), v.Spec.Size, "must be 1 to 5"))
		}
		if v.Spec.Mode != old.Spec.Mode {
			errs = append(errs, field.Forbidden(field.NewPath("spec", "mode"), "is immutable"))
		}
		return errs
	}
	return k
}

func toV2(from *SecondVolume, to *VolumeV2) error {
	to.Spec = VolumeV2Spec{from.Spec.Size, VolumeSecurity{from.Spec.TLS, from.Spec.Mode}}
	to.Status = from.Status
	return nil
}

func fromV2(from *VolumeV2, to *SecondVolume) error {
	to.Spec = SecondVolumeSpec{from.Spec.SizeGiB, from.Spec.Security.TLS, from.Spec.Security.Mode}
	to.Status = from.Status
	return nil
}

// upgradePrograms are the releases: what they know, and what they reconcile. The fourth
// differs from the third in the version that it stores.
var upgradePrograms = map[string]struct {
	kinds []store.AnyKind
	add   func(m *controller.Manager) error
}{
	"first":  {[]store.AnyKind{store.Kind[*FirstVolume]{GroupVersionKind: volumeKind("v1")}}, addVolumes[*FirstVolume]},
	"second": {[]store.AnyKind{secondRules()}, addVolumes[*SecondVolume]},
	"third": {[]store.AnyKind{secondRules(), store.Version[*VolumeV2, *SecondVolume]{
		GroupVersionKind: volumeKind("v2"), To: fromV2, From: toV2}}, addVolumes[*SecondVolume]},
	"fourth": {[]store.AnyKind{store.Kind[*VolumeV2]{GroupVersionKind: volumeKind("v2")}, store.Version[*SecondVolume, *VolumeV2]{
		GroupVersionKind: volumeKind("v1"), To: toV2, From: fromV2}}, addVolumes[*VolumeV2]},
}

// addVolumes adds a controller that puts a finalizer on each volume, removes it from one
// that is being deleted, and reports the generation that it has seen. It prints each
// volume that it has reconciled.
func addVolumes[T store.Object](m *controller.Manager) error {
	_, err := controller.New(m, "volume", func(_ context.Context, tx *controller.Tx, v T) (controller.Result, error) {
		if v.GetDeletionTimestamp() != nil {
			tx.RemoveFinalizer(v, volumeFinalizer)
			return controller.Result{}, nil
		}
		tx.AddFinalizer(v, volumeFinalizer)
		volumeStatus(v).Observed = v.GetGeneration()
		tx.UpdateStatus(v)
		fmt.Printf("reconciled %s at %d\n", v.GetName(), v.GetGeneration())
		return controller.Result{}, nil
	}, controller.Options{})
	return err
}

func volumeStatus(v store.Object) *VolumeStatus {
	switch v := v.(type) {
	case *FirstVolume:
		return &v.Status
	case *SecondVolume:
		return &v.Status
	}
	return &v.(*VolumeV2).Status
}

func newUpgradeStore(client *clientv3.Client, program string) (*store.Store, error) {
	return store.New(client, store.Options{Kinds: upgradePrograms[program].kinds, Prefix: "/upgrade/"})
}

func runUpgradeProcess(ctx context.Context, program, endpoint string) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	s, err := newUpgradeStore(client, program)
	if err != nil {
		return err
	}
	m, err := controller.NewManager(s, controller.ManagerOptions{
		Log: funcr.New(func(prefix, args string) { fmt.Fprintln(os.Stderr, program, prefix, args) }, funcr.Options{}),
	})
	if err != nil {
		return err
	}
	if err := upgradePrograms[program].add(m); err != nil {
		return err
	}
	return m.Run(ctx)
}
