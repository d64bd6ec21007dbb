package apiserver

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/homeostat/homeostat/pkg/store"
)

// storage serves the objects of a kind from the store. The interfaces that it implements
// decide which verbs the API has.
type storage struct {
	kind  *kind
	store *store.Store
	table
}

var (
	_ rest.StandardStorage      = (*storage)(nil)
	_ rest.Patcher              = (*storage)(nil)
	_ rest.Scoper               = (*storage)(nil)
	_ rest.SingularNameProvider = (*storage)(nil)
	_ rest.ShortNamesProvider   = (*storage)(nil)
	_ rest.CategoriesProvider   = (*storage)(nil)
)

func (s *storage) New() runtime.Object     { return s.kind.newObject() }
func (s *storage) NewList() runtime.Object { return s.kind.newList() }
func (s *storage) Destroy()                {}
func (s *storage) NamespaceScoped() bool   { return s.kind.namespaced }
func (s *storage) GetSingularName() string { return singular(s.kind.gvk) }
func (s *storage) ShortNames() []string    { return s.kind.look.shortNames }
func (s *storage) Categories() []string    { return s.kind.look.categories }
func key(ctx context.Context, name string) store.Key {
	return store.Key{Namespace: request.NamespaceValue(ctx), Name: name}
}

// Get implements rest.Getter.
func (s *storage) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	obj, err := s.kind.access.Get(ctx, key(ctx, name))
	if err != nil {
		return nil, statusOf(err)
	}
	return obj, nil
}

// Create implements rest.Creater.
func (s *storage) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, o *metav1.CreateOptions) (runtime.Object, error) {
	created := obj.(store.Object)
	if validate != nil {
		if err := validate(ctx, obj.DeepCopyObject()); err != nil {
			return nil, err
		}
	}
	t := s.store.Txn()
	t.Create(created)
	if err := commit(ctx, t, o.DryRun); err != nil {
		return nil, err
	}
	return created, nil
}

// Update implements rest.Updater. It writes everything but the status.
func (s *storage) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, validateCreate rest.ValidateObjectFunc,
	validate rest.ValidateObjectUpdateFunc, mayCreate bool, o *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return s.update(ctx, name, info, validate, o, (*store.Txn).Update, func() (runtime.Object, error) {
		if !mayCreate {
			return nil, apierrors.NewNotFound(s.kind.resource, name)
		}
		obj, err := info.UpdatedObject(ctx, s.New())
		if err != nil {
			return nil, err
		}
		return s.Create(ctx, obj, validateCreate, &metav1.CreateOptions{DryRun: o.DryRun})
	})
}

// update reads an object, changes it and writes it. If the change has no
// resourceVersion, update repeats that until no other writer was faster.
func (s *storage) update(ctx context.Context, name string, info rest.UpdatedObjectInfo, validate rest.ValidateObjectUpdateFunc,
	o *metav1.UpdateOptions, write func(*store.Txn, store.Object), create func() (runtime.Object, error)) (runtime.Object, bool, error) {
	for {
		old, err := s.kind.access.Get(ctx, key(ctx, name))
		if apierrors.IsNotFound(err) {
			obj, err := create()
			if apierrors.IsAlreadyExists(err) {
				continue
			}
			return obj, err == nil, err
		}
		if err != nil {
			return nil, false, statusOf(err)
		}
		obj, err := s.change(ctx, old, info, validate)
		if err != nil {
			return nil, false, err
		}
		anyVersion := obj.GetResourceVersion() == ""
		if anyVersion {
			obj.SetResourceVersion(old.GetResourceVersion())
		}
		t := s.store.Txn()
		write(t, obj)
		if err = commit(ctx, t, o.DryRun); anyVersion && apierrors.IsConflict(err) && ctx.Err() == nil {
			continue
		}
		return obj, false, err
	}
}

// change returns the object that a client wants in place of old.
func (s *storage) change(ctx context.Context, old store.Object, info rest.UpdatedObjectInfo, validate rest.ValidateObjectUpdateFunc) (store.Object, error) {
	if p := info.Preconditions(); p != nil && p.UID != nil && *p.UID != old.GetUID() {
		return nil, apierrors.NewConflict(s.kind.resource, old.GetName(), errors.New("the UID in the precondition does not match: the object was deleted and created again"))
	}
	obj, err := info.UpdatedObject(ctx, old.DeepCopyObject())
	if err != nil {
		return nil, err
	}
	if validate != nil {
		if err := validate(ctx, obj.DeepCopyObject(), old); err != nil {
			return nil, err
		}
	}
	return obj.(store.Object), nil
}

// Delete implements rest.GracefulDeleter.
func (s *storage) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, o *metav1.DeleteOptions) (runtime.Object, bool, error) {
	obj := s.kind.newObject()
	obj.SetNamespace(request.NamespaceValue(ctx))
	obj.SetName(name)
	if validate != nil {
		old, err := s.Get(ctx, name, nil)
		if err != nil {
			return nil, false, err
		}
		if err := validate(ctx, old); err != nil {
			return nil, false, err
		}
	}
	if o.Preconditions != nil && o.Preconditions.UID != nil {
		obj.SetUID(*o.Preconditions.UID)
	}
	t := s.store.Txn()
	t.Delete(obj, deleteOptions(o))
	if err := commit(ctx, t, o.DryRun); err != nil {
		return nil, false, err
	}
	if obj.GetDeletionTimestamp() != nil && !store.CompletesDeletion(obj) {
		return obj, false, nil
	}
	return &metav1.Status{Status: metav1.StatusSuccess, Details: &metav1.StatusDetails{
		Name: name, Group: s.kind.gvk.Group, Kind: s.kind.resource.Resource, UID: obj.GetUID()}}, true, nil
}

func deleteOptions(o *metav1.DeleteOptions) store.DeleteOptions {
	var d store.DeleteOptions
	if o.Preconditions != nil && o.Preconditions.ResourceVersion != nil {
		d.ResourceVersion = *o.Preconditions.ResourceVersion
	}
	if o.GracePeriodSeconds != nil {
		d.GracePeriodSeconds = *o.GracePeriodSeconds
	}
	if o.PropagationPolicy != nil {
		d.Propagation = *o.PropagationPolicy
	}
	return d
}

// DeleteCollection implements rest.CollectionDeleter. It returns the objects as they were
// listed.
func (s *storage) DeleteCollection(ctx context.Context, validate rest.ValidateObjectFunc, o *metav1.DeleteOptions, l *metainternalversion.ListOptions) (runtime.Object, error) {
	list, err := s.read(ctx, l)
	if err != nil {
		return nil, err
	}
	for _, obj := range list.Items {
		_, _, err := s.Delete(request.WithNamespace(ctx, obj.GetNamespace()), obj.GetName(), validate, withUID(o, obj))
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return nil, err
		}
	}
	return s.list(list), nil
}

// withUID returns the options to delete this object, and none that took its name.
func withUID(o *metav1.DeleteOptions, obj store.Object) *metav1.DeleteOptions {
	of := o.DeepCopy()
	uid := obj.GetUID()
	of.Preconditions = &metav1.Preconditions{UID: &uid}
	return of
}

// commit executes a transaction, or tries it if the client asked for a dry run.
func commit(ctx context.Context, t *store.Txn, dryRun []string) error {
	if len(dryRun) > 0 {
		t.DryRun()
	}
	_, err := t.Commit(ctx)
	return statusOf(err)
}

// statusOf returns the API status that an error wraps. The handlers of k8s.io/apiserver
// know only those that are not wrapped.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	var status *apierrors.StatusError
	switch {
	case errors.As(err, &status):
		return status
	case errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewTimeoutError(err.Error(), 0)
	}
	return apierrors.NewInternalError(err)
}
