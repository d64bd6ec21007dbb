package apiserver

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/homeostat/homeostat/pkg/store"
)

// statusStorage serves the status subresource of a kind.
type statusStorage struct{ main *storage }

var (
	_ rest.Patcher             = statusStorage{}
	_ rest.ResetFieldsStrategy = statusStorage{}
	_ rest.ResetFieldsStrategy = (*storage)(nil)
)

func (s statusStorage) New() runtime.Object { return s.main.New() }
func (s statusStorage) Destroy()            {}

// Get implements rest.Getter.
func (s statusStorage) Get(ctx context.Context, name string, o *metav1.GetOptions) (runtime.Object, error) {
	return s.main.Get(ctx, name, o)
}

// ConvertToTable implements rest.TableConvertor.
func (s statusStorage) ConvertToTable(ctx context.Context, obj runtime.Object, o runtime.Object) (*metav1.Table, error) {
	return s.main.ConvertToTable(ctx, obj, o)
}

// Update implements rest.Updater. It writes the status and the annotations.
func (s statusStorage) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, _ rest.ValidateObjectFunc,
	validate rest.ValidateObjectUpdateFunc, _ bool, o *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return s.main.update(ctx, name, info, validate, o, (*store.Txn).UpdateStatus, func() (runtime.Object, error) {
		return nil, apierrors.NewNotFound(s.main.kind.resource, name)
	})
}

// GetResetFields says which fields an update of the main resource leaves alone, so that
// its writer does not become their owner.
func (s *storage) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return s.reset("status")
}

// GetResetFields says which fields an update of the status leaves alone.
func (s statusStorage) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return s.main.reset("spec", "metadata.labels", "metadata.finalizers", "metadata.ownerReferences", "metadata.deletionTimestamp")
}

func (s *storage) reset(paths ...string) map[fieldpath.APIVersion]*fieldpath.Set {
	set := fieldpath.NewSet()
	for _, p := range paths {
		set.Insert(fieldpath.MakePathOrDie(pathParts(p)...))
	}
	return map[fieldpath.APIVersion]*fieldpath.Set{fieldpath.APIVersion(s.kind.gvk.GroupVersion().String()): set}
}
